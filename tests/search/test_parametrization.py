"""Coordinates and consistent tables turn into each other, and any numbers make a valid table."""

import pytest
import torch

from dss_ray.errors import TableError
from dss_ray.search.paper import paper_space
from dss_ray.search.space import CONSISTENT, make_space, softmax_knots
from dss_ray.solver.adams import adams_weights
from dss_ray.solver.classical import baseline_names, classical_table
from dss_ray.solver.forms import velocity_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.table import SolverTable

NAMES = [name for name in baseline_names(6) if name != "heun"]


@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.006594, 0.989623)])
@pytest.mark.parametrize("name", NAMES)
def test_a_table_comes_back_from_its_coordinates_with_the_same_ends(name, ends):
    table = classical_table(name, make_grid("power:1.6:1.4", 6, *ends))
    space = make_space("velocity", table)
    again = space.table(space.coordinates)
    torch.testing.assert_close(again.knots, table.knots, atol=1e-15, rtol=0)
    torch.testing.assert_close(again.weights, table.weights, atol=1e-13, rtol=1e-13)
    assert (again.knots[0], again.knots[-1]) == ends
    assert torch.equal(again.times, again.knots[:-1])


@pytest.mark.parametrize("seed", range(20))
def test_the_last_knot_is_exact_whatever_the_rounding_of_the_softmax(seed):
    random = torch.Generator().manual_seed(seed)
    knots = softmax_knots(torch.randn(7, generator=random, dtype=torch.float64), 0.1, 0.7)
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


KNOTS = make_grid("uniform", 4)
FREE = SolverTable(KNOTS[:-1], torch.ones(4).double(), torch.eye(4).double(), KNOTS, free=True)
REFUSED = {
    "repeated knots": classical_table("heun", KNOTS),
    "free": FREE,
    "own query times": velocity_table(KNOTS, adams_weights(KNOTS, 2), KNOTS[:-1] * 0.9),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_tables_that_have_no_such_coordinates_are_refused(reason):
    with pytest.raises(TableError, match="cannot start from this table"):
        make_space("velocity", REFUSED[reason])
