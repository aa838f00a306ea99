import pytest
import torch

from dss_ray.models.conventions import (
    ConvertedModel,
    ddpm_path,
    edm_path,
    linear_alphas_cumprod,
    paper_ddpm_path,
    vp_path,
)
from dss_ray.models.gaussian import GaussianMixture
from dss_ray.models.network import NetworkModel
from dss_ray.models.protocol import VelocityModel

WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
MEANS = torch.tensor([[2.0, 0.0], [-1.0, 1.0], [0.0, -2.0]], dtype=torch.float64)
VARIANCES = torch.tensor([0.1, 0.4, 0.2], dtype=torch.float64)
ALPHAS = linear_alphas_cumprod()


def posterior_mean(x, a, s):
    """E[data | a data + s noise = x] of the mixture, from Bayes' rule."""
    a, s = a[:, None], s[:, None]
    spread = a**2 * VARIANCES + s**2
    centred = x[:, None] - a[..., None] * MEANS
    log_posterior = WEIGHTS.log() - centred.square().sum(-1) / (2 * spread) - spread.log()
    each = MEANS + (a * VARIANCES / spread)[..., None] * centred
    return (log_posterior.softmax(-1)[..., None] * each).sum(1)


def vp_scales(u):
    a = torch.exp(-(20 - 0.1) * u**2 / 4 - 0.1 * u / 2)
    return a, (1 - a**2).sqrt()


def ddpm_scales(index):
    low = index.floor().long().clamp(max=998)
    levels = (ALPHAS / (1 - ALPHAS)).log()
    level = levels[low] + (index - low) * (levels[low + 1] - levels[low])
    return level.sigmoid().sqrt(), (-level).sigmoid().sqrt()


def edm_scales(sigma):
    return torch.ones_like(sigma), sigma


PATHS = {
    "edm": (edm_path(), edm_scales),
    "vp": (vp_path(), vp_scales),
    "ddpm": (ddpm_path(ALPHAS), ddpm_scales),
}


class Oracle:
    """The exact posterior mean of the mixture, or the noise that it leaves."""

    name, sample_shape, num_classes, fingerprint = "oracle", (2,), None, "0"

    def __init__(self, scales, prediction):
        self.scales, self.prediction = scales, prediction

    def __call__(self, x, own_time, _label):
        a, s = self.scales(own_time)
        data = posterior_mean(x, a, s)
        return data if self.prediction == "data" else (x - a[:, None] * data) / s[:, None]


def converted(path, scales, prediction):
    return ConvertedModel(Oracle(scales, prediction), prediction, path)


@pytest.mark.parametrize("prediction", ["data", "noise"])
@pytest.mark.parametrize("family", PATHS)
def test_converted_oracle_has_the_exact_velocity(family, prediction):
    path, scales = PATHS[family]
    model = converted(path, scales, prediction)
    t = torch.linspace(path.t_min, path.t_max, 200, dtype=torch.float64)
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = GaussianMixture(WEIGHTS, MEANS, VARIANCES)(x, t, None)
    assert isinstance(model, VelocityModel)
    assert ((model(x, t, None) - exact).abs() / (1 + exact.abs())).max() < 3e-13


@pytest.mark.parametrize(
    ("family", "t_min", "t_max"),
    [("edm", 1 / 81, 0.998004), ("vp", 0.006594, 0.989623), ("ddpm", 0.006313, 0.990099)],
)
def test_time_ranges(family, t_min, t_max):
    path, _ = PATHS[family]
    assert path.t_min == pytest.approx(t_min, abs=5e-7)
    assert path.t_max == pytest.approx(t_max, abs=5e-7)


def test_own_times_invert_the_schedules():
    for family, ends in {"edm": (80, 0.002), "vp": (0.999, 0.001), "ddpm": (999, 0)}.items():
        path, scales = PATHS[family]
        own = torch.linspace(*ends, 57, dtype=torch.float64)
        a, s = scales(own)
        assert torch.allclose(path.own_time(a / (a + s)), own, rtol=1e-10, atol=1e-9)


def test_start_noise_and_end_data_scales():
    vp, edm = (converted(*PATHS[family], "data") for family in ("vp", "edm"))
    assert vp.noise_scale(vp.t_min) == pytest.approx(0.993428, abs=5e-7)
    assert edm.noise_scale(edm.t_min) == pytest.approx(80 / 81)
    assert edm.data_scale(edm.t_max) == pytest.approx(1.002)
    ends = vp_scales(torch.tensor(0.001, dtype=torch.float64))
    assert vp.data_scale(vp.t_max) == pytest.approx(float(sum(ends)))


def test_the_papers_index_lies_up_to_four_indices_beside_the_exact_one():
    exact, paper = ddpm_path(ALPHAS), paper_ddpm_path()
    t = torch.linspace(paper.t_min, exact.t_max * 0.999, 500, dtype=torch.float64)
    apart = (exact.own_time(t) - paper.own_time(t)).abs()
    assert apart.min() > 0.5
    assert 3 < apart.max() < 4.5


def test_linear_betas_are_ddpms():
    betas = 1 - ALPHAS / torch.cat([ALPHAS.new_ones(1), ALPHAS[:-1]])
    expected = torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64)
    assert torch.allclose(betas, expected, rtol=1e-9, atol=1e-12)


def test_the_fingerprint_covers_weights_prediction_and_path():
    paths = [vp_path(), vp_path(beta_max=19.0), ddpm_path(ALPHAS), ddpm_path(ALPHAS**1.1)]
    paths += [edm_path(), edm_path(sigma_max=70.0), paper_ddpm_path()]
    models = [converted(path, vp_scales, "data") for path in paths]
    models.append(converted(vp_path(), vp_scales, "noise"))
    other = Oracle(vp_scales, "data")
    other.fingerprint = "1"
    models.append(ConvertedModel(other, "data", vp_path()))
    assert len({model.fingerprint for model in models}) == len(models)
    assert models[0].fingerprint == converted(vp_path(), vp_scales, "data").fingerprint


def test_images_are_decoded_from_data_and_not_from_states():
    network = NetworkModel(torch.nn.Linear(2, 2), "net", (2,), None, decode=lambda data: data)
    model = ConvertedModel(network, "noise", ddpm_path(ALPHAS))
    a, s = ALPHAS[0].sqrt(), (1 - ALPHAS[0]).sqrt()
    data = torch.tensor([[0.25, 0.5]], dtype=torch.float64)
    assert torch.allclose(model.decode(a * data / (a + s)), a * data)
    assert not hasattr(converted(*PATHS["vp"], "data"), "decode")


def test_a_converted_network_moves_and_stays_in_eval_mode():
    network = NetworkModel(torch.nn.Linear(2, 2), "net", (2,), None)
    model = ConvertedModel(network, "noise", ddpm_path(ALPHAS)).to("meta").train()
    assert model.device.type == "meta"
    assert not any(part.training for part in network.modules())
