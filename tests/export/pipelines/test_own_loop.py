"""Exported schedulers in tiny pipelines: the package's own loop, and diffusers' own Euler."""

import pytest
import torch

from dss_ray.solver.classical import classical_table

FAMILIES = ("dit", "sd3", "flux", "pixart", "sana", "sd", "sd-v")
EXACT = [(torch.float32, 1e-5), (torch.float64, 1e-6)]


@pytest.mark.parametrize(("dtype", "tolerance"), EXACT)
@pytest.mark.parametrize("family", FAMILIES)
def test_pipelines_end_where_the_packages_own_loop_does(case, family, dtype, tolerance):
    tiny = case(family, dtype)
    for table in (tiny.table(), tiny.table(last=1.0)):
        assert (tiny.exported(table) - tiny.own(table)).abs().max() < tolerance


def euler_table(tiny):
    """Euler on the grid of the scheduler that the pipeline came with, after it has drawn."""
    scheduler = tiny.pipeline.scheduler
    if hasattr(scheduler, "sigmas"):
        return classical_table("euler", 1 - scheduler.sigmas.double())
    squares = scheduler.alphas_cumprod[[*scheduler.timesteps.tolist(), 0]].double()
    a, s = squares.sqrt(), (1 - squares).sqrt()
    return classical_table("euler", (a / (a + s)).clamp(tiny.model.t_min, tiny.model.t_max))


@pytest.mark.parametrize(("dtype", "tolerance"), EXACT)
@pytest.mark.parametrize("family", FAMILIES)
def test_euler_is_diffusers_own_euler_which_is_ddim_on_diffusions(case, family, dtype, tolerance):
    tiny = case(family, dtype)
    expected = tiny.draw()
    assert (tiny.exported(euler_table(tiny)) - expected).abs().max() < tolerance


@pytest.mark.parametrize("family", ["flux", "sd"])
def test_each_call_of_a_pipeline_begins_anew(case, family):
    tiny = case(family)
    first = tiny.exported(tiny.table())
    assert torch.equal(tiny.draw(), first)
    tiny.pipeline.scheduler.set_timesteps()
    tiny.pipeline.scheduler.scale_model_input(tiny.start)
    tiny.pipeline.scheduler.step(tiny.start, None, tiny.start)  # a call that was interrupted
    assert torch.equal(tiny.draw(), first)
