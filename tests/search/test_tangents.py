"""Tangents are derivatives of the loop, carried only where they act, and every one is counted."""

import pytest
import torch
from torch.func import jacfwd

from dss_ray.models.guidance import guide
from dss_ray.models.meter import Meter
from dss_ray.search.space import SPACES, make_space
from dss_ray.search.tangents import derivatives, directions, push
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import differences, steps


def around(space, nfe=4, name="ab2"):
    """A space, and a point in it that no symmetry favours."""
    found = make_space(space, classical_table(name, make_grid("cosine", nfe)))
    random = torch.Generator().manual_seed(nfe)
    shift = torch.randn(len(found.coordinates), generator=random, dtype=torch.float64)
    return found, found.coordinates + 0.1 * shift


def entries(space):
    """The numbers with which a table acts, query by query, as a function of the coordinates."""

    def numbers(coordinates):
        table = space.table(coordinates)
        start, rows = differences(table)
        acting = [
            torch.cat([table.times[i : i + 1], start[i : i + 1], rows[i, : i + 1]])
            for i in range(table.nfe)
        ]
        return torch.cat(acting)

    return numbers


def states(velocity, table, batch):
    path = steps(velocity, table, batch.noise, batch.label)
    return torch.stack([state for _, state in path])


@pytest.mark.parametrize("space", SPACES)
def test_tangents_are_the_finite_differences_of_the_loop(oracle, exact_reference, space):
    found, at = around(space)
    along = directions(found, at)
    pushed = push(Meter(oracle), found.table(at), along, exact_reference, at_once=3)
    assert torch.equal(torch.stack(pushed.states), states(oracle, found.table(at), exact_reference))
    for k, direction in enumerate(1e-5 * along.basis.T):
        ahead = states(oracle, found.table(at + direction), exact_reference)
        behind = states(oracle, found.table(at - direction), exact_reference)
        for i, difference in enumerate((ahead - behind) / 2e-5):
            tangents = pushed.tangents[i]
            mine = tangents[k] if k < len(tangents) else torch.zeros_like(difference)
            torch.testing.assert_close(mine, difference, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("nfe", [1, 2, 5])
@pytest.mark.parametrize("space", SPACES)
def test_directions_span_all_that_moves_the_table(space, nfe):
    found, at = around(space, nfe)
    along, jacobian = directions(found, at), jacfwd(entries(found))(at)
    rank = int(torch.linalg.matrix_rank(jacobian))
    assert along.basis.shape == (len(at), rank)
    torch.testing.assert_close(
        along.basis.T @ along.basis, torch.eye(rank).double(), atol=1e-12, rtol=0
    )
    moved = jacobian @ along.basis @ along.basis.T  # nothing is lost by staying in the span
    torch.testing.assert_close(moved, jacobian, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("space", SPACES)
def test_no_direction_is_carried_before_it_acts(space):
    found, at = around(space, 5)
    along = directions(found, at)
    for i in range(5):
        before, acting = along.active[2 * i : 2 * i + 2]
        for part, active in ((along.times[i], before), (along.start[i], acting)):
            assert (part[active:].abs() < 1e-12).all()
        assert (along.rows[i][:, acting:].abs() < 1e-12).all()


@pytest.mark.parametrize("space", SPACES)
def test_as_few_directions_act_at_each_query_as_can_be(space):
    found, at = around(space, 5)
    along, jacobian = directions(found, at), jacfwd(entries(found))(at)
    used = 0
    for i in range(5):
        query = int(torch.linalg.matrix_rank(jacobian[: used + 1]))
        used += i + 3  # a time, a start weight and i + 1 weights
        step = int(torch.linalg.matrix_rank(jacobian[:used]))
        assert along.active[2 * i : 2 * i + 2] == [query, step]


@pytest.mark.parametrize("at_once", [1, 4, 100])
@pytest.mark.parametrize("guided", [1, 2])
def test_each_query_and_each_active_tangent_counts_once_per_sample(
    oracle, exact_reference, at_once, guided
):
    found, at = around("velocity", 4)
    along, velocity = directions(found, at), Meter(oracle, guided)
    push(velocity, found.table(at), along, exact_reference, at_once)
    carried = along.active[::2]
    queries = sum(max(1, -(-count // at_once)) for count in carried)  # once for each chunk
    assert velocity.evaluations == guided * 12 * (queries + sum(carried))


@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
def test_chunks_of_tangents_change_nothing(oracle, exact_reference, at_once):
    found, at = around("whole", 3)
    along, table = directions(found, at), found.table(at)
    whole = push(Meter(oracle), table, along, exact_reference, at_once=100)
    cut = push(Meter(oracle), table, along, exact_reference, at_once)
    for one, other in zip(whole.tangents, cut.tangents, strict=True):
        torch.testing.assert_close(one, other, atol=1e-13, rtol=1e-13)


def test_without_tangents_there_is_the_value_alone():
    x = torch.linspace(0, 1, 3)
    value, slope = derivatives(torch.sin, (x,), (torch.zeros(0, 3),), at_once=5)
    assert torch.equal(value, x.sin())
    assert slope.shape == (0, 3)


def test_tangents_of_a_guided_model_are_the_finite_differences_of_its_loop(oracle, exact_reference):
    guided, (found, at) = guide(oracle, 2.0), around("whole", 3)
    along, velocity = directions(found, at), Meter(guided, 2)
    tangents = push(velocity, found.table(at), along, exact_reference, at_once=4).tangents[-1]
    for tangent, direction in zip(tangents, 1e-5 * along.basis.T, strict=True):
        ahead = states(guided, found.table(at + direction), exact_reference)[-1]
        behind = states(guided, found.table(at - direction), exact_reference)[-1]
        torch.testing.assert_close(tangent, (ahead - behind) / 2e-5, atol=1e-7, rtol=1e-5)
