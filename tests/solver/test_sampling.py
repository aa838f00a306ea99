import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.solver.classical import CLASSICAL, classical_table
from dss_ray.solver.forms import velocity_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.published import published_table
from dss_ray.solver.sampling import advance, differences, sample, steps
from dss_ray.solver.table import SolverTable


def pendulum(x, t, label):
    return torch.sin(2 * x) * (1 + t) - (0 if label is None else label[:, None])


def direct_sum(velocity, table, noise, label=None):
    """The definition: every state anew from the start state and all velocities."""
    state, velocities = noise, []
    for i in range(table.nfe):
        velocities.append(velocity(state, table.times[i].to(noise), label))
        state = table.start[i].to(noise) * noise
        for weight, v in zip(table.weights[i, : i + 1].to(noise), velocities, strict=True):
            state = state + weight * v
    return state


@pytest.fixture
def noise():
    return torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
def test_loop_equals_the_direct_sum(name, dtype, tolerance, noise):
    table = classical_table(name, make_grid("cosine", 10))
    noise = noise.to(dtype)
    expected = direct_sum(pendulum, table, noise)
    assert (sample(pendulum, table, noise) - expected).abs().max() < tolerance


def test_loop_equals_the_direct_sum_for_a_free_table(noise):
    base = published_table("flow-sit-6")
    start = base.start + 0.1 * torch.arange(6)
    table = SolverTable(base.times, start, base.weights * 1.1, base.knots, free=True)
    torch.testing.assert_close(sample(pendulum, table, noise), direct_sum(pendulum, table, noise))


def test_labels_and_query_times_reach_the_velocity(noise):
    seen = []
    label = torch.arange(7)

    def spy(x, t, label):
        seen.append((t.item(), label.tolist()))
        return x

    knots = make_grid("uniform", 3)
    times = torch.tensor([0.1, 0.2, 0.9], dtype=torch.float64)
    sample(spy, velocity_table(knots, torch.eye(3, dtype=torch.float64), times), noise, label)
    assert seen == [(t, label.tolist()) for t in (0.1, 0.2, 0.9)]


def test_each_query_may_have_a_velocity_of_its_own(noise):
    table = classical_table("ab2", make_grid("uniform", 3))
    constants = [torch.tensor(value, dtype=torch.float64) for value in (1.0, -2.0, 5.0)]
    fields = [lambda x, t, label, value=value: value.expand_as(x) for value in constants]
    expected = noise + sum(
        weight * value for weight, value in zip(table.weights[-1], constants, strict=True)
    )
    torch.testing.assert_close(sample(fields, table, noise), expected)


def test_one_velocity_is_the_same_one_for_each_query(noise):
    table = classical_table("ab2", make_grid("cosine", 3))
    assert torch.equal(sample([pendulum] * 3, table, noise), sample(pendulum, table, noise))
    with pytest.raises(UsageError, match="each of 3 queries, got 2"):
        sample([pendulum] * 2, table, noise)


def test_steps_yield_each_velocity_and_state(noise):
    table = classical_table("euler", make_grid("uniform", 4))
    states = noise
    for time, (velocity, state) in zip(table.times, steps(pendulum, table, noise), strict=True):
        torch.testing.assert_close(velocity, pendulum(states, time, None))
        torch.testing.assert_close(state, states + velocity / 4)
        states = state


def test_gradients_agree_with_finite_differences(noise):
    def end(deltas, lower, start):
        knots = torch.cat([deltas.new_zeros(1), deltas.softmax(0).cumsum(0)])
        lower = lower.tril(-1)
        table = velocity_table(knots, lower + torch.diag(1 - lower.sum(1)))
        return sample(pendulum, table, start)

    deltas, lower = torch.linspace(-1, 1, 4).double(), torch.full((4, 4), -0.3).double()
    inputs = [tensor.requires_grad_() for tensor in (deltas, lower, noise[:2].clone())]
    assert torch.autograd.gradcheck(end, inputs)


def test_gradients_reach_free_start_weights(noise):
    base = published_table("flow-sit-5")
    start = base.start.clone().requires_grad_()
    table = SolverTable(base.times, start, base.weights, base.knots, free=True)
    sample(pendulum, table, noise).sum().backward()
    assert start.grad.abs().min() > 0


def test_an_edited_state_carries_its_edit_to_the_end(noise):
    """Where velocity depends on time alone, a shift made half-way arrives unchanged."""
    table = published_table("flow-dcn-6")
    state, velocities = noise, []
    for i, (start, row) in enumerate(zip(*differences(table), strict=True)):
        velocities.append(torch.cos(table.times[i]) * torch.ones_like(state))
        state = advance(state, noise, velocities, start, row)
        if i == 2:
            state = state + 5
    plain = sample(lambda x, t, _: torch.cos(t) * torch.ones_like(x), table, noise)
    torch.testing.assert_close(state, plain + 5)


def test_constant_velocity_is_integrated_exactly(noise):
    for name in CLASSICAL:
        end = sample(
            lambda x, *_: torch.full_like(x, 3.0),
            classical_table(name, make_grid("power:2", 8)),
            noise,
        )
        torch.testing.assert_close(end, noise + 3)
