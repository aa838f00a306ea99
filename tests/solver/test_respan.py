import pytest
import torch

from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.published import published_names, published_table
from dss_ray.solver.respan import respanned

FIELDS = "times", "start", "weights", "knots"


@pytest.mark.parametrize("name", ["ab2", "heun", "ipndm", "euler"])
def test_solvers_of_velocities_on_a_mapped_grid_are_the_mapped_solvers(name):
    """Adams-Bashforth knows no time of its own, so that it may be mapped before or after."""
    source, target = make_grid("power:1:1.4", 6), make_grid("power:1:1.4", 6, 0.01, 0.99)
    found = respanned(classical_table(name, source), 0.01, 0.99)
    expected = classical_table(name, target)
    if name == "ipndm":  # works in noise predictions, which do know the time
        assert torch.allclose(found.knots, expected.knots, atol=1e-12)
        return
    for field in FIELDS:
        assert torch.allclose(getattr(found, field), getattr(expected, field), atol=1e-12)


@pytest.mark.parametrize("name", published_names())
def test_there_and_back_is_the_same_solver_and_the_ends_are_exact(name):
    table = published_table(name)
    moved = respanned(table, 0.006313, 0.990099)
    assert (float(moved.knots[0]), float(moved.knots[-1])) == (0.006313, 0.990099)
    back = respanned(moved, float(table.knots[0]), float(table.knots[-1]))
    for field in FIELDS:
        assert torch.allclose(getattr(back, field), getattr(table, field), atol=1e-12)


def test_a_table_that_fits_stays_as_it_is():
    table = classical_table("ab2", make_grid("cosine", 5))
    assert respanned(table, 0.0, 1.0) is table
