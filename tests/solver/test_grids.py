import math

import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.solver.grids import GRIDS, make_grid
from dss_ray.solver.vp import frame_time, vp_time

SPECS = [*GRIDS, "power:3", "power:2:1.5", "power:0.7:2", "edm:1", "edm:5", "shift:0.5", "shift:6"]
RANGES = [(0.0, 1.0), (0.006594, 0.989623), (0.006594, 1.0), (1 / 81, 0.998004), (0.2, 0.6)]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("ends", RANGES)
def test_knots_increase_strictly_between_the_ends(spec, ends):
    for nfe in (1, 2, 3, 10, 50):
        knots = make_grid(spec, nfe, *ends)
        assert knots.shape == (nfe + 1,) and knots.dtype == torch.float64
        assert (knots[0].item(), knots[-1].item()) == ends
        assert (knots.diff() > 0).all()


@pytest.mark.parametrize("spec", ["power:1:1", "shift:1", "uniform"])
def test_neutral_parameters_give_equal_steps(spec):
    torch.testing.assert_close(
        make_grid(spec, 7, 0.1, 0.8), torch.linspace(0.1, 0.8, 8, dtype=torch.float64)
    )


def test_power_follows_its_formula():
    expected = [1 - (1 - (i / 5) ** 2) ** 1.5 for i in range(6)]
    assert make_grid("power:2:1.5", 5).tolist() == pytest.approx(expected, abs=1e-15)
    assert make_grid("power", 5).tolist() == pytest.approx([(i / 5) ** 2 for i in range(6)])


def test_cosine_is_dense_at_both_ends_alike():
    knots = make_grid("cosine", 9)
    torch.testing.assert_close(knots, 1 - knots.flip(0))
    assert knots[1] < 1 / 20


def test_logsnr_has_equal_steps_of_log_snr():
    steps = make_grid("logsnr", 8, 0.01, 0.99).logit().diff()
    torch.testing.assert_close(steps, steps.mean().expand(8))


def test_edm_equals_the_published_spacing():
    """Karras et al. 2206.00364, eq. 5, with its final step to zero."""
    n, rho, high, low = 18, 7, 80, 0.002
    sigmas = [
        (high ** (1 / rho) + i / (n - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho
        for i in range(n)
    ] + [0]
    expected = [1 / (1 + sigma) for sigma in sigmas]
    assert make_grid("edm", n, 1 / 81).tolist() == pytest.approx(expected, abs=1e-14)


def test_shift_maps_uniform_sigmas():
    sigma = 1 - torch.linspace(0, 1, 11, dtype=torch.float64)
    expected = 1 - 3 * sigma / (1 + 2 * sigma)
    torch.testing.assert_close(make_grid("shift:3", 10), expected, atol=1e-15, rtol=0)


def test_respacing_follows_the_fitted_curves():
    s = torch.linspace(0, 1, 11, dtype=torch.float64)
    flow = -1.96 * s**4 + 3.51 * s**3 - 0.97 * s**2 + 0.43 * s
    torch.testing.assert_close(make_grid("flow-respacing", 10), flow / 1.01)
    vp = 0.999 - 0.998 * (-2.73 * s**4 + 6.30 * s**3 - 4.744 * s**2 + 2.17 * s) / 0.996
    knots = make_grid("vp-respacing", 10, *frame_time(vp[[0, -1]]).tolist())
    torch.testing.assert_close(knots, frame_time(vp))


def test_vp_time_and_frame_time_are_inverse():
    times = torch.linspace(0.001, 0.999, 100).double()
    torch.testing.assert_close(vp_time(frame_time(times)), times, rtol=1e-12, atol=1e-14)


def test_frame_time_is_alpha_over_alpha_plus_sigma():
    alpha = math.exp(-0.25 * 0.7**2 * 19.9 - 0.5 * 0.7 * 0.1)
    expected = alpha / (alpha + math.sqrt(1 - alpha**2))
    assert frame_time(torch.tensor(0.7).double()).item() == pytest.approx(expected, abs=1e-8)
    ends = frame_time(torch.tensor([0.999, 0.001]).double()).tolist()
    assert ends == pytest.approx([0.006594, 0.989623], abs=1e-6)


def test_unknown_family_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'cosine'"):
        make_grid("cosin", 5)


@pytest.mark.parametrize(
    "spec",
    [*(f"power:{bad}" for bad in ("x", "", "0", "-1", "nan", "inf", "1:2:3", "1000")), "uniform:2"],
)
def test_bad_parameters_are_refused(spec):
    with pytest.raises(UsageError, match="grid"):
        make_grid(spec, 5)


@pytest.mark.parametrize("nfe", [0, -3, 1001])
def test_too_few_and_too_many_steps_are_refused(nfe):
    with pytest.raises(UsageError, match="1 to 1000 steps"):
        make_grid("uniform", nfe)


@pytest.mark.parametrize("ends", [(-0.1, 1), (0, 1.1), (0.5, 0.5), (0.9, 0.1), (math.nan, 1)])
def test_bad_ends_are_refused(ends):
    with pytest.raises(UsageError, match="first < last"):
        make_grid("uniform", 5, *ends)
