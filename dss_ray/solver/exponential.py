"""Multistep methods in the noise prediction: iPNDM and DEIS."""

from torch import Tensor

from dss_ray.solver.adams import constant_weights
from dss_ray.solver.forms import noise_table
from dss_ray.solver.multistep import (
    NEAR_NOISE,
    NODES,
    interpolatory_row,
    lower_triangle,
    unit_moments,
)
from dss_ray.solver.table import SolverTable


def ipndm_table(knots: Tensor, order: int) -> SolverTable:
    """Improved PNDM on ``knots`` (N + 1,): equal-step Adams-Bashforth of the noise prediction.

    From the DEIS paper, Zhang and Chen, arXiv 2204.13902; the transfer is DDIM's.
    """
    return noise_table(knots, constant_weights(len(knots) - 1, order))


def deis_weights(knots: Tensor, order: int) -> Tensor:
    """Noise-form weights (N, N) of tAB-DEIS: polynomials in t, integrated in sigma / alpha.

    Zhang and Chen, arXiv 2204.13902, with t the frame's time; ``order`` counts noise
    predictions (the paper's tAB index plus one). A first knot 0 counts as 1e-6.
    """
    rows, times = [], knots.clamp(min=NEAR_NOISE)
    for i in range(len(knots) - 1):
        count = min(order, i + 1)
        start, step = times[i], times[i + 1] - times[i]
        # d(sigma / alpha) = -dt / t^2 is smooth in log t, so quadrature there is exact to rounding.
        ratios = ((NODES + 1) / 2 * (times[i + 1] / start).log()).exp()
        moments = unit_moments((ratios - 1) * start / step, 1 / ratios, count)
        rows.append(interpolatory_row((times[i + 1 - count : i + 1] - start) / step, moments))
    return lower_triangle(rows)


def deis_table(knots: Tensor, order: int) -> SolverTable:
    """tAB-DEIS with ``order`` noise predictions on ``knots`` (N + 1,)."""
    return noise_table(knots, deis_weights(knots, order))
