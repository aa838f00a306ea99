import pytest
import torch

from dss_ray.models.conventions import (
    ConvertedModel,
    ddpm_path,
    edm_path,
    paper_ddpm_path,
    vp_path,
)
from dss_ray.models.gaussian import GaussianMixture
from dss_ray.models.protocol import VelocityModel

WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
MEANS = torch.tensor([[2.0, 0.0], [-1.0, 1.0], [0.0, -2.0]], dtype=torch.float64)
VARIANCES = torch.tensor([0.1, 0.4, 0.2], dtype=torch.float64)
BETAS = torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64)
ALPHAS = (1 - BETAS).cumprod(0)


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


def converted(path, scales, prediction):
    def predict(x, own_time, _label):
        a, s = scales(own_time)
        data = posterior_mean(x, a, s)
        return data if prediction == "data" else (x - a[:, None] * data) / s[:, None]

    attributes = {"name": "oracle", "sample_shape": (2,), "num_classes": None, "fingerprint": "0"}
    return ConvertedModel(predict, prediction, path, **attributes)


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
