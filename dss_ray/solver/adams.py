"""Adams-Bashforth methods in the velocity, with variable or with constant coefficients."""

import torch
from torch import Tensor

from dss_ray.solver.forms import velocity_table
from dss_ray.solver.multistep import interpolatory_row, lower_triangle
from dss_ray.solver.table import SolverTable

# Oldest first; Hairer, Norsett, Wanner, Solving ODEs I, section III.1, eq. 1.5.
TEXTBOOK = {
    1: (1.0,),
    2: (-1 / 2, 3 / 2),
    3: (5 / 12, -16 / 12, 23 / 12),
    4: (-9 / 24, 37 / 24, -59 / 24, 55 / 24),
}


def adams_weights(knots: Tensor, order: int) -> Tensor:
    """Variable-step Adams-Bashforth weights (N, N), rows summing to one, started by lower orders.

    Row i integrates the polynomial through the last ``order`` velocities over the step (Hairer,
    Norsett, Wanner, section III.5); gradients flow to the knots.

    Args:
        knots: (N + 1,) float64, strictly increasing.
        order: number of velocities used once history permits.
    """
    rows = []
    for i, step in enumerate(knots.diff()):
        count = min(order, i + 1)
        nodes = (knots[i + 1 - count : i + 1] - knots[i]) / step
        rows.append(interpolatory_row(nodes, 1 / torch.arange(1, count + 1, dtype=knots.dtype)))
    return lower_triangle(rows)


def constant_weights(count: int, order: int) -> Tensor:
    """Textbook Adams-Bashforth weights (count, count) for equal steps, started by lower orders."""
    rows = [TEXTBOOK[min(order, i + 1)] for i in range(count)]
    return lower_triangle([torch.tensor(row, dtype=torch.float64) for row in rows])


def adams_table(knots: Tensor, order: int) -> SolverTable:
    """Variable-step Adams-Bashforth of ``order`` on ``knots`` (N + 1,)."""
    return velocity_table(knots, adams_weights(knots, order))


def uniform_adams_table(knots: Tensor, order: int) -> SolverTable:
    """Adams-Bashforth of ``order`` with equal-step coefficients on any ``knots`` (N + 1,)."""
    return velocity_table(knots, constant_weights(len(knots) - 1, order))
