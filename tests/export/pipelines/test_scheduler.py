"""The scheduler by itself: what it takes from pipelines and callers, and what it refuses."""

import copy
import json

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from dss_ray.errors import UsageError
from dss_ray.export.diffusers_scheduler import TableScheduler
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample

STEPS = 4
SHAPE = (2, 4, 6, 6)


@pytest.fixture
def make(found):
    """Makes the scheduler of a table, on a flow unless told otherwise."""

    def scheduler(table=None, prediction_type="flow_prediction", **change):
        table = table or found(*((0, 1) if prediction_type == "flow_prediction" else (0.01, 0.99)))
        settings = {
            "table": table.to_json(),
            "prediction_type": prediction_type,
            "timesteps": (1000 * (1 - table.times)).tolist(),
            "solver": "found",
            "model": "some-model",
            "guidance": 1.5,
        }
        return TableScheduler(**settings | change)

    return scheduler


def noise(dtype=torch.float32):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)).to(dtype)


def pull(x, timestep):
    """A network of a flow: minus a velocity that bends with the state and the time."""
    return -torch.sin(2 * x) * (1 + timestep.to(x) / 1000)


def run(scheduler, state, network=pull):
    scheduler.set_timesteps(STEPS)
    for timestep in scheduler.timesteps:
        output = network(scheduler.scale_model_input(state, timestep), timestep)
        (state,) = scheduler.step(output, timestep, state, return_dict=False)
    return state


@pytest.mark.parametrize("given", [{"num_inference_steps": STEPS}, {"mu": 1.2}, {}])
def test_timesteps_are_the_tables_own_and_sigmas_lie_at_its_knots(make, found, given):
    table, scheduler = found(0, 1), make()
    scheduler.set_timesteps(**given)
    assert torch.equal(scheduler.timesteps, (1000 * (1 - table.times)).float())
    assert torch.equal(scheduler.sigmas, (1 - table.knots).float())
    diffusion = make(prediction_type="epsilon")
    assert torch.allclose(diffusion.sigmas[-1], torch.tensor(0.01 / 0.99))


def test_a_uniform_flow_has_the_numbers_of_diffusers_own_euler(make):
    own = FlowMatchEulerDiscreteScheduler()
    own.set_timesteps(sigmas=np.linspace(1, 1 / STEPS, STEPS))
    table = classical_table("euler", make_grid("uniform", STEPS))
    scheduler = make(table)
    assert torch.equal(scheduler.timesteps, own.timesteps)
    assert torch.equal(scheduler.sigmas, own.sigmas)


@pytest.mark.parametrize(
    "given",
    [
        {"num_inference_steps": 50},
        {"sigmas": np.linspace(1, 1 / 5, 5)},
        {"sigmas": [1.0, 0.7, 0.5, 0.1]},
        {"timesteps": [999, 700, 500, 100]},
        {"num_inference_steps": STEPS, "timesteps": [999]},
    ],
)
def test_other_steps_are_refused_in_one_sentence(make, given):
    with pytest.raises(ValueError, match=r"'found' makes 4 steps.*num_inference_steps=4"):
        make().set_timesteps(**given)


def test_its_own_times_and_those_that_pipelines_pass_to_any_scheduler_are_taken(make):
    scheduler = make()
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / STEPS, STEPS), mu=0.8, device="cpu")
    for sigmas in (scheduler.sigmas, scheduler.sigmas[:-1].tolist()):
        scheduler.set_timesteps(sigmas=sigmas)
    scheduler.set_timesteps(timesteps=scheduler.timesteps.tolist())


def test_a_later_start_is_refused(make):
    make().set_begin_index(0)
    with pytest.raises(UsageError, match=r"start at step 2.*another scheduler for image-to-image"):
        make().set_begin_index(2)


def test_steps_beyond_the_last_are_refused(make):
    scheduler = make()
    run(scheduler, noise())
    for call in (scheduler.scale_model_input, lambda x: scheduler.step(x, None, x)):
        with pytest.raises(UsageError, match="all 4 steps are done; begin anew by set_timesteps"):
            call(noise())


def test_a_network_that_was_not_given_the_scaled_state_is_refused(make):
    x = noise()
    with pytest.raises(UsageError, match="scale_model_input"):
        make(prediction_type="epsilon").step(x, None, x)
    table = classical_table("ab2", make_grid("uniform", STEPS, 0.01, 0.99))
    make(table, "epsilon").step(x, None, x)  # asks at its knots


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_pipelines_may_step_from_the_scaled_state_or_from_the_other(make, prediction):
    states = []
    for from_scaled in (False, True):
        scheduler, state = make(prediction_type=prediction), noise()
        for timestep in scheduler.timesteps:
            scaled = scheduler.scale_model_input(state, timestep)
            output = scaled.cos()
            assert (scaled - state).abs().max() > 1e-4
            state = scheduler.step(output, timestep, scaled if from_scaled else state).prev_sample
        states.append(state)
    assert torch.allclose(*states, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_states_are_rounded_once_a_step(make, dtype):
    exact, state = make(), noise(dtype)
    half, wide = make(), state.float()
    for timestep in exact.timesteps:
        output = pull(state, timestep)
        wide = exact.step(output.float(), timestep, state.float()).prev_sample
        state = half.step(output, timestep, state).prev_sample
        assert torch.equal(state, wide.to(dtype))


def test_the_table_keeps_its_precision_where_states_are_float64(make, found):
    end = run(make(), noise(torch.float64), lambda x, t: -torch.sin(2 * x))
    with torch.no_grad():
        expected = sample(lambda x, t, label: torch.sin(2 * x), found(0, 1), noise(torch.float64))
    assert (end - expected).abs().max() < 1e-14


@pytest.mark.parametrize("prediction", ["flow_prediction", "epsilon", "v_prediction"])
def test_no_step_waits_for_the_device(make, prediction):
    """A meta tensor has no numbers, so asking for one would fail."""
    scheduler, state = make(prediction_type=prediction), noise().to("meta")
    scheduler.set_timesteps(STEPS, device="meta")
    assert scheduler.timesteps.device.type == "meta"
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(state, timestep)
        state = scheduler.step(scaled, timestep, state, return_dict=False)[0]
    assert state.shape == SHAPE


def test_a_pipeline_may_edit_the_state_between_steps(make):
    """A shift that the network does not answer is still there at the end."""
    ends = []
    for shift in (0.0, 1.0):
        scheduler, state = make(), noise()
        for place, timestep in enumerate(scheduler.timesteps):
            state = scheduler.step(noise().cos(), timestep, state).prev_sample
            state = state + (place == 1) * shift
        ends.append(state)
    assert torch.allclose(ends[1] - ends[0], torch.ones(SHAPE), atol=1e-6)


@pytest.mark.parametrize("prediction", ["flow_prediction", "epsilon", "v_prediction"])
def test_a_network_may_write_all_outputs_to_one_place(make, prediction):
    """A network that was compiled to CUDA graphs does."""
    buffer = torch.empty(SHAPE)

    def network(x, timestep):
        return buffer.copy_(pull(x, timestep))

    middle = classical_table("ab2", torch.tensor([0.3, 0.4, 0.5, 0.6, 0.7]).double())
    ends = [run(make(middle, prediction), noise(), one) for one in (pull, network)]
    assert torch.equal(*ends)


def test_a_single_steps_end_is_its_prediction_of_the_data(make):
    """PixArt's pipeline takes the second of a tuple where there is one step."""
    scheduler, x = make(classical_table("euler", make_grid("uniform", 1))), noise()
    state, data = scheduler.step(pull(x, torch.tensor(1000.0)), None, x, return_dict=False)
    assert torch.equal(state, data)


def test_folders_and_copies_give_back_every_bit(make, tmp_path):
    scheduler = make(prediction_type="v_prediction")
    scheduler.save_pretrained(tmp_path)
    loaded = [
        TableScheduler.from_pretrained(tmp_path),
        TableScheduler.from_config(scheduler.config),
        copy.deepcopy(scheduler),
    ]
    loaded[0].save_pretrained(tmp_path / "again")
    texts = [path.read_text() for path in tmp_path.rglob("scheduler_config.json")]
    assert texts[0] == texts[1]
    for other in loaded:
        assert other.table.to_json() == scheduler.table.to_json()
        assert torch.equal(run(other, noise()), run(scheduler, noise()))


def test_other_schedulers_configs_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"of another scheduler without table, .*guidance; use"):
        TableScheduler.from_config(DDIMScheduler().config)
    FlowMatchEulerDiscreteScheduler().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="that of FlowMatchEulerDiscreteScheduler"):
        TableScheduler.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prediction_type": "sample"}, "unknown prediction_type 'sample'"),
        ({"prediction_type": "epsilon"}, "of a diffusion, query times above 0"),
        ({"timesteps": [1.0]}, r"expected 4 timesteps.*got timesteps \[1.0\]"),
        ({"timesteps": "late"}, "timesteps"),
        ({"table": {}}, "expected the fields times, start"),
    ],
)
def test_a_config_edited_by_hand_is_refused(make, tmp_path, change, said):
    make(classical_table("euler", make_grid("uniform", STEPS))).save_pretrained(tmp_path)
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError, match=said):
        TableScheduler.from_pretrained(tmp_path)


def test_a_table_in_a_config_must_be_one(make, tmp_path):
    make().save_pretrained(tmp_path)
    path = tmp_path / "scheduler_config.json"
    config = json.loads(path.read_text())
    config["table"]["weights"][0][3] = 1.0
    path.write_text(json.dumps(config))
    with pytest.raises(UsageError, match="lower triangular"):
        TableScheduler.from_pretrained(tmp_path)
