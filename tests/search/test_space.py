"""Spaces hold their starts, are differentiable, and any numbers make a valid table."""

import pytest
import torch
from torch.func import jacfwd, jacrev

from dss_ray.errors import TableError, UsageError
from dss_ray.search.paper import paper_space
from dss_ray.search.space import CONSISTENT, SPACES, make_space, softmax_knots
from dss_ray.solver.adams import adams_weights
from dss_ray.solver.classical import baseline_names, classical_table
from dss_ray.solver.forms import velocity_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.table import FIELDS, SolverTable

ENDS = [(0.0, 1.0), (0.006594, 0.989623)]
NAMES = ("euler", "ab4-uniform", "dpmpp3m-released", "ipndm", "deis3", "unipc3")


def flat(table):
    return torch.cat([getattr(table, field).flatten() for field in FIELDS])


def random(count, seed=0):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("space", CONSISTENT)
def test_a_consistent_space_holds_its_start_exactly(space, ends):
    for name in NAMES:
        table = classical_table(name, make_grid("power:1.6:1.4", 6, *ends))
        around = make_space(space, table)
        torch.testing.assert_close(
            flat(around.table(around.coordinates)), flat(table), atol=1e-12, rtol=1e-12
        )
        again = around.table(around.coordinates)
        assert (again.knots[0], again.knots[-1]) == ends
        assert torch.equal(again.times, again.knots[:-1])


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("name", baseline_names(8))
def test_the_whole_space_holds_its_start_but_for_query_times_that_touch(name, ends):
    table = classical_table(name, make_grid("power:1.6:1.4", 8, *ends))
    space = make_space("whole", table)
    again = space.table(space.coordinates)
    for field, tolerance in {"times": 3e-4, "start": 1e-15, "weights": 1e-15, "knots": 0}.items():
        off = (getattr(again, field) - getattr(table, field)).abs().max()
        assert off <= tolerance, field
    assert (again.times.diff() > 0).all()
    assert again.free


@pytest.mark.parametrize("space", SPACES)
def test_a_table_of_a_space_has_the_coordinates_that_it_was_made_of(space):
    around = make_space(space, classical_table("ab3", make_grid("cosine", 5)))
    table = around.table(around.coordinates + 0.2 * random(len(around.coordinates)))
    beside = make_space(space, table)
    torch.testing.assert_close(
        flat(beside.table(beside.coordinates)), flat(table), atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("nfe", [1, 2, 5])
@pytest.mark.parametrize("space", SPACES)
def test_both_modes_give_the_derivatives_of_finite_differences(space, nfe, ends):
    around = make_space(space, classical_table("ab2", make_grid("cosine", nfe, *ends)))
    at = around.coordinates + 0.1 * random(len(around.coordinates))

    def numbers(coordinates):
        return flat(around.table(coordinates))

    forward = jacfwd(numbers)(at)
    torch.testing.assert_close(jacrev(numbers)(at), forward, atol=1e-10, rtol=1e-10)
    for column, moved in zip(forward.T, 1e-6 * torch.eye(len(at)).double(), strict=True):
        difference = (numbers(at + moved) - numbers(at - moved)) / 2e-6
        torch.testing.assert_close(column, difference, atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0, 1000.0])
@pytest.mark.parametrize("space", SPACES)
def test_any_coordinates_make_a_valid_table(space, scale):
    for nfe in (1, 2, 8):
        around = make_space(
            space, classical_table("ab2", make_grid("uniform", nfe, *ENDS[nfe % 2]))
        )
        for seed in range(4):
            table = around.table(scale * random(len(around.coordinates), seed))
            SolverTable.from_json(table.to_json())
            assert (table.knots.diff() > 0).all()


@pytest.mark.parametrize("space", SPACES)
def test_one_query_can_be_searched(space):
    around = make_space(space, classical_table("euler", make_grid("uniform", 1)))
    assert around.table(around.coordinates).weights.tolist() == [[1.0]]


@pytest.mark.parametrize("seed", range(20))
def test_the_last_knot_is_exact_whatever_the_rounding_of_the_softmax(seed):
    knots = softmax_knots(random(7, seed), 0.1, 0.7)
    assert (float(knots[0]), float(knots[-1])) == (0.1, 0.7)


@pytest.mark.parametrize("logits", [(0, 800, 0), (-800, 0, 800), (1e308, 0, 0), (0, 0, -1e308)])
def test_extreme_logits_make_valid_times(logits):
    space = paper_space(3, 0.0, 1.0)
    table = space.table(torch.tensor([*logits, 5.0, -7.0, 3.0], dtype=torch.float64))
    assert isinstance(table, SolverTable)
    assert (table.knots[0], table.knots[-1]) == (0, 1)


@pytest.mark.parametrize("name", CONSISTENT)
def test_gradients_reach_all_coordinates(name):
    space = make_space(name, classical_table("ab2", make_grid("cosine", 4)))
    coordinates = space.coordinates.clone().requires_grad_()
    table = space.table(coordinates)
    (table.weights.square().sum() + table.knots.square().sum()).backward()
    assert len(coordinates) == 4 + 6
    assert (coordinates.grad != 0).all()


@pytest.mark.parametrize("base", ["ab3", "dpmpp3m"])
def test_the_coefficients_of_a_classical_base_move_with_the_times(base):
    space = make_space(base, classical_table(base, make_grid("uniform", 5)))
    times = torch.tensor([-2.0, -1.5, -1.0, -0.8, -1.1], dtype=torch.float64)
    table = space.table(torch.cat([times, space.coordinates[5:]]))
    torch.testing.assert_close(
        table.weights, classical_table(base, table.knots).weights, atol=1e-13, rtol=0
    )


KNOTS = make_grid("uniform", 4)
FREE = SolverTable(KNOTS[:-1], torch.ones(4).double(), torch.eye(4).double(), KNOTS, free=True)
CLOSE = torch.tensor([0.0, 1e-9, 0.5, 1.0], dtype=torch.float64)
REFUSED = {
    "repeated knots": classical_table("heun", KNOTS),
    "knots that float32 cannot tell": classical_table("euler", CLOSE),
    "free": FREE,
    "own query times": velocity_table(KNOTS, adams_weights(KNOTS, 2), KNOTS[:-1] * 0.9),
}


@pytest.mark.parametrize("space", CONSISTENT)
@pytest.mark.parametrize("reason", REFUSED)
def test_tables_that_have_no_such_coordinates_are_refused(reason, space):
    with pytest.raises(TableError, match="cannot start from this table: its knots must increase"):
        make_space(space, REFUSED[reason])
    assert make_space("whole", REFUSED[reason])


def test_an_unknown_space_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'whole'"):
        make_space("hole", REFUSED["free"])
