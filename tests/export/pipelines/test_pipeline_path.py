"""Which pipelines a solver is exported for, and how their networks are asked."""

import json

import diffusers
import pytest
import torch

from dss_ray.errors import FileError, UsageError
from dss_ray.export.pipeline_path import read_pipeline
from dss_ray.models.conventions import circle
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid

FLOWS = {
    "FlowMatchEulerDiscreteScheduler": {"shift": 3.0},
    "FlowMatchHeunDiscreteScheduler": {},
    "DPMSolverMultistepScheduler": {"prediction_type": "flow_prediction", "use_flow_sigmas": True},
}
DIFFUSIONS = {
    "DDIMScheduler": {"prediction_type": "v_prediction"},
    "EulerDiscreteScheduler": {"beta_schedule": "scaled_linear", "beta_start": 0.00085},
    "PNDMScheduler": {"skip_prk_steps": True},
}
REFUSED = {
    "data": ("DDIMScheduler", {"prediction_type": "sample"}, "found a DDIMScheduler with 'sample'"),
    "no data in the noise": ("DDIMScheduler", {"rescale_betas_zero_snr": True}, "'epsilon'"),
    "EDM": ("EDMEulerScheduler", {}, "found a EDMEulerScheduler"),
    "continuous times": (
        "EulerDiscreteScheduler",
        {"timestep_type": "continuous", "prediction_type": "v_prediction"},
        "found a EulerDiscreteScheduler",
    ),
    "inverted flow": (
        "FlowMatchEulerDiscreteScheduler",
        {"invert_sigmas": True},
        "flow_prediction",
    ),
    "angles": ("SCMScheduler", {}, "with 'trigflow'"),
}


@pytest.fixture
def saved_scheduler(tmp_path):
    """Makes the folder of a pipeline of which only the scheduler is there."""

    def save(name, config):
        getattr(diffusers, name)(**config).save_pretrained(tmp_path / "scheduler")
        return tmp_path

    return save


@pytest.mark.parametrize("name", FLOWS)
def test_flows_are_told_thousandths_of_sigma(saved_scheduler, name):
    path = read_pipeline(saved_scheduler(name, FLOWS[name]))
    assert (path.prediction_type, path.t_min, path.t_max) == ("flow_prediction", 0, 1)
    assert path.timesteps(torch.tensor([0.0, 0.25, 1.0])).tolist() == [1000, 750, 0]


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_diffusions_are_told_the_index_of_their_noise_level(saved_scheduler, name):
    folder = saved_scheduler(name, DIFFUSIONS[name])
    path = read_pipeline(folder / "scheduler")  # the scheduler's own folder serves as well
    alphas = getattr(diffusers, name)(**DIFFUSIONS[name]).alphas_cumprod.double()
    a, s = alphas.sqrt(), (1 - alphas).sqrt()
    times = (a / (a + s))[[999, 500, 3, 0]]
    indices = torch.tensor([999, 500, 3, 0]).double()
    assert torch.allclose(path.timesteps(times), indices, atol=1e-6)
    assert torch.allclose(times[[0, -1]], torch.tensor([path.t_min, path.t_max]).double())
    assert torch.allclose(circle(times)[0], a[[999, 500, 3, 0]])
    assert path.prediction_type == DIFFUSIONS[name].get("prediction_type", "epsilon")


@pytest.mark.parametrize(("name", "config", "said"), REFUSED.values(), ids=REFUSED)
def test_other_networks_are_refused_in_one_sentence(saved_scheduler, name, config, said):
    with pytest.raises(FileError, match=f"'epsilon' or 'v_prediction'; .*{said}"):
        read_pipeline(saved_scheduler(name, config))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"_class_name": "TableScheduler"}'])
def test_files_that_are_no_scheduler_of_diffusers_are_named(tmp_path, content):
    (tmp_path / "scheduler_config.json").write_text(content)
    with pytest.raises(FileError, match=r"scheduler_config\.json: no readable scheduler"):
        read_pipeline(tmp_path)


def test_only_schedulers_are_made_from_a_config(tmp_path):
    config = {"_class_name": "UNet2DConditionModel"}
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config))
    with pytest.raises(FileError, match="UNet2DConditionModel is no scheduler"):
        read_pipeline(tmp_path)


def test_a_missing_scheduler_is_asked_for(tmp_path):
    with pytest.raises(FileError, match=r"scheduler/scheduler_config\.json: .*fetch it, too"):
        read_pipeline(tmp_path)


def test_tables_beyond_the_pipelines_times_are_refused(saved_scheduler):
    diffusion = read_pipeline(saved_scheduler("DDIMScheduler", {}))
    flow = classical_table("euler", make_grid("uniform", 5))
    with pytest.raises(
        UsageError, match=r"'ours' asks for times from 0 to 0\.8.*0\.00\d+ to 0\.99"
    ):
        diffusion.check(flow, "ours")
    late = classical_table("heun", make_grid("uniform", 2, 0.1, 0.999))
    with pytest.raises(UsageError, match=r"to 0\.999, but this pipeline of 'epsilon'"):
        diffusion.check(late, "ours")
    diffusion.check(classical_table("euler", make_grid("uniform", 5, 0.1, 1.0)), "ours")
