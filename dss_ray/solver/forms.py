"""Reductions of the usual solver forms to tables: the recursion, run on coefficient vectors.

Each state is held as its coefficients on the N velocities; its coefficient on the start state is
exactly one because every row of ``weights`` sums to one.
"""

import torch
from torch import Tensor

from dss_ray.errors import TableError
from dss_ray.solver.table import TOLERANCE, SolverTable


def velocity_table(knots: Tensor, weights: Tensor, times: Tensor | None = None) -> SolverTable:
    """Table of x' = x + (t' - t) sum_j W[i, j] v_j, differentiable in all arguments.

    Args:
        knots: (N + 1,) float64, the times of the states.
        weights: (N, N) float64, lower triangular, rows sum to one.
        times: (N,) float64, query times; ``knots[:-1]`` if None.

    Raises:
        TableError: if the weights or the resulting table are invalid.
    """
    check_rows(knots, weights)
    return consistent_table(knots, (knots.diff()[:, None] * weights).cumsum(0), times)


def data_table(knots: Tensor, weights: Tensor, times: Tensor | None = None) -> SolverTable:
    """Table of x' = r x + (1 - r) sum_j W[i, j] D_j, r = (1 - t') / (1 - t); see velocity_table.

    D_j = x_j + (1 - t_j) v_j is the data prediction at ``knots[j]``: the form of DPM-Solver++
    (arXiv 2211.01095, eq. 8) and of the paper's VP solvers, in the package's frame.
    """
    check_rows(knots, weights)
    return consistent_table(knots, run_recursion(knots, weights, -1.0, 1 - knots), times)


def noise_table(knots: Tensor, weights: Tensor, times: Tensor | None = None) -> SolverTable:
    """Table of x' = r x + (1 - r) sum_j W[i, j] e_j, r = t' / t; see velocity_table.

    e_j = x_j - t_j v_j is the noise prediction at ``knots[j]``: the form of iPNDM and DEIS (arXiv
    2204.13902), in the package's frame. A step from t = 0 is Euler's.
    """
    check_rows(knots, weights)
    return consistent_table(knots, run_recursion(knots, weights, 1.0, knots), times)


def velocity_weights(table: SolverTable) -> Tensor:
    """The weights W (N, N) with which ``velocity_table`` makes a consistent ``table``."""
    rows = torch.cat([table.weights[:1], table.weights.diff(dim=0)])
    return rows / table.knots.diff()[:, None]


def data_weights(table: SolverTable) -> Tensor:
    """The weights W (N, N) with which ``data_table`` makes a consistent ``table``."""
    remaining = 1 - table.knots
    ratio = (remaining[1:] / remaining[:-1])[:, None]
    before = torch.cat([torch.zeros_like(table.weights[:1]), table.weights[:-1]])
    predictions = before + torch.diag(remaining[:-1])  # of the data, on the velocities
    mixed = (table.weights - ratio * before) / (1 - ratio)
    weights: Tensor = torch.linalg.solve_triangular(predictions, mixed, upper=False, left=False)
    return weights


def consistent_table(knots: Tensor, weights: Tensor, times: Tensor | None = None) -> SolverTable:
    """The table with unit start weights and the given reduced velocity weights (N, N)."""
    queries = knots[:-1] if times is None else times
    return SolverTable(queries, torch.ones_like(knots[1:]), weights, knots)


def run_recursion(knots: Tensor, weights: Tensor, sign: float, scale: Tensor) -> Tensor:
    """Velocity weights (N, N) of x' = (s'/s) x + (1 - s'/s) sum_j W[i, j] p_j.

    The prediction is p_j = x_j - sign * s_j v_j, with s = 1 - t and sign -1 for data, s = t and
    sign 1 for noise.
    """
    velocities = torch.eye(len(knots) - 1, dtype=knots.dtype)
    state, rows, predictions = torch.zeros_like(knots[1:]), [], []
    for i, velocity in enumerate(velocities):
        predictions.append(state - sign * scale[i] * velocity)
        if scale[i] == 0:  # noise prediction at t = 0 carries no velocity
            state = state + (knots[i + 1] - knots[i]) * velocity
        else:
            ratio = scale[i + 1] / scale[i]
            mixed = weights[i, : i + 1] @ torch.stack(predictions)
            state = ratio * state + (1 - ratio) * mixed
        rows.append(state)
    return torch.stack(rows)


def check_rows(knots: Tensor, weights: Tensor) -> None:
    """The weights fit the knots, know no future, and each row sums to one."""
    count = len(knots) - 1
    if weights.shape != (count, count):
        raise TableError(
            f"solver form: weights must have shape {(count, count)} for {count + 1} knots, "
            f"got {tuple(weights.shape)}"
        )
    values = weights.detach()
    if values.triu(1).any():
        raise TableError("solver form: weights must be lower triangular: no step knows the future")
    excess = (values.sum(1) - 1).abs() / (1 + values.abs().sum(1))
    if not excess.max() <= TOLERANCE:
        raise TableError(
            "solver form: each row of weights must sum to one "
            f"(largest deviation {float(excess.max()):.2g}); set its diagonal to one minus the rest"
        )
