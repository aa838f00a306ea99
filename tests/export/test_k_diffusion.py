import re
from itertools import pairwise

import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.export.formats import export_k_diffusion
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample

SPAN = 1 / 81, 1 / 1.002  # sigma from 80 to 0.002


def denoiser(x, sigma, shift=0.0):
    """E[data | data + sigma noise = x] where each number of the data is 1.5 or -1.5."""
    return 1.5 * torch.tanh(1.5 * x / sigma[:, None, None] ** 2) + shift


def flow_denoiser(x, sigma):
    """The same where x = (1 - sigma) data + sigma noise."""
    level = sigma[:, None, None]
    return 1.5 * torch.tanh(1.5 * (1 - level) * x / level**2)


def textbook_euler(model, x, sigmas):
    """Algorithm 1 of EDM (arXiv 2206.00364) without its second order."""
    for sigma, following in pairwise(sigmas):
        slope = (x - model(x, sigma.expand(len(x)))) / sigma
        x = x + (following - sigma) * slope
    return x


@pytest.fixture
def exported(bundles, tmp_path, load):
    """The module of a solver."""

    def make(table, *model, **change):
        return load(export_k_diffusion(bundles(table, *model, **change), tmp_path))

    return make


@pytest.mark.parametrize("seed", range(6))
def test_a_denoiser_draws_the_samples_of_the_packages_own_loop(
    seed, model, tables, noise, exported
):
    """One data distribution: its flow, VP and EDM models have one velocity in the frame."""
    table = tables(model, 2 + seed, seed)
    solver = exported(table, model)
    expected = sample(model, table, noise)
    if table.knots[0] > 0:
        sigmas = solver.edm_sigmas()
        own = noise * (1 + sigmas[0])
        drawn = solver.sample_dss(denoiser, own, sigmas) / (1 + sigmas[-1])
        assert (drawn - expected).abs().max() < 1e-6
    drawn = solver.sample_dss(flow_denoiser, noise, solver.flow_sigmas())
    assert (drawn - expected).abs().max() < 1e-6


def test_the_docstrings_example_is_right_for_the_searched_model(model, tables, exported):
    """A flow starts at noise as it is, EDM at 80 times it, VP at sqrt(1 + sigma^2) times it."""
    table = tables(model, 2, 0)
    solver = exported(table, model)
    said = re.search(r"sigmas = (\w+)\(\)\n +x = (\S+) \*", solver.__doc__)
    sigma = float(getattr(solver, said[1])()[0])
    kind = model.path.name.split()[0] if hasattr(model, "path") else "flow"
    expected = {"flow": 1.0, "edm": 80.0, "vp": (1 + sigma**2) ** 0.5}[kind]
    assert float(said[2]) == pytest.approx(expected, rel=1e-8)
    assert (said[1] == "flow_sigmas") == (kind == "flow")


@pytest.mark.parametrize("last", [SPAN[1], 1.0])
def test_euler_is_the_textbooks(last, noise, exported):
    solver = exported(classical_table("euler", make_grid("edm:7", 9, SPAN[0], last)))
    sigmas = solver.edm_sigmas()
    drawn = solver.sample_dss(denoiser, 80 * noise, sigmas)
    assert sigmas[0] == pytest.approx(80)
    assert (drawn - textbook_euler(denoiser, 80 * noise, sigmas)).abs().max() < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_sigmas_may_come_back_rounded(dtype, noise, exported):
    solver = exported(classical_table("ab2", make_grid("edm:7", 6, *SPAN)))
    sigmas, x = solver.edm_sigmas(), noise.float()
    drawn = solver.sample_dss(denoiser, 80 * x, sigmas.to(dtype))
    assert drawn.dtype == torch.float32
    assert torch.equal(drawn, solver.sample_dss(denoiser, 80 * x, sigmas))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:-1], "makes 6 steps: expected its own 7 sigmas.* got 6"),
        (lambda s: torch.cat([s, s[-1:]]), "expected its own 7 sigmas.* got 8"),
        (lambda s: s[None], "expected its own 7 sigmas"),
        (lambda s: s * torch.linspace(1, 1.1, 7), "expected its own sigmas.*another schedule"),
        (lambda s: s.flip(0), "another schedule"),
        (lambda s: s * torch.nan, "another schedule"),
    ],
)
def test_other_sigmas_are_refused(change, message, noise, exported):
    solver = exported(classical_table("ab2", make_grid("edm:7", 6, *SPAN)))
    for sigmas in (solver.edm_sigmas(), solver.flow_sigmas()):
        with pytest.raises(ValueError, match=message):
            solver.sample_dss(denoiser, noise, change(sigmas))


def test_a_solver_that_starts_at_pure_noise_has_no_sigmas_of_edm(exported):
    solver = exported(classical_table("ab2", make_grid("uniform", 4)))
    with pytest.raises(ValueError, match="sigma is infinite"):
        solver.edm_sigmas()
    with pytest.raises(ValueError, match="its own sigmas"):
        solver.is_flow(torch.tensor([torch.inf, 3.0, 1.0, 1 / 3, 0.0]))


def test_the_callback_sees_each_query_and_the_model_its_arguments(noise, exported):
    solver, seen = exported(classical_table("ab2", make_grid("edm:7", 6, *SPAN))), []
    sigmas = solver.edm_sigmas()
    solver.sample_dss(denoiser, 80 * noise, sigmas, {"shift": 0.25}, seen.append, disable=True)
    assert [step["i"] for step in seen] == list(range(6))
    for step in seen:
        level = step["sigma_hat"].expand(len(noise))
        assert torch.equal(step["denoised"], denoiser(step["x"], level, shift=0.25))
        assert step["sigma"] == pytest.approx(float(step["sigma_hat"]))


def test_no_gradient_graph_is_kept(noise, exported):
    solver = exported(classical_table("euler", make_grid("uniform", 2)))
    drawn = solver.sample_dss(flow_denoiser, noise.requires_grad_(), solver.flow_sigmas())
    assert not drawn.requires_grad


def test_what_denoisers_cannot_serve_is_refused(exported):
    heun = classical_table("heun", make_grid("uniform", 4))
    with pytest.raises(UsageError, match="queries the model at time 1, without noise"):
        exported(heun)
    ab2 = classical_table("ab2", make_grid("uniform", 2))
    with pytest.raises(UsageError, match=r"another scale at each step \(1, 2\).*standalone"):
        exported(ab2, guidance=(1.0, 2.0))
