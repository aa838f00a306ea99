"""DPM-Solver++ multistep methods: data prediction, polynomials in log-SNR."""

import torch
from torch import Tensor

from dss_ray.solver.forms import data_table
from dss_ray.solver.multistep import log_snr_moments, lower_triangle, step_orders
from dss_ray.solver.table import SolverTable


def log_snr(knots: Tensor) -> Tensor:
    """log(t / (1 - t)) (N + 1,), infinite at 0 and 1 without infinite derivatives there."""
    inside = (knots > 0) & (knots < 1)
    ends = torch.full_like(knots, torch.inf).where(knots > 0, -torch.inf)
    return torch.where(inside, torch.where(inside, knots, 0.5).logit(), ends)


def dpmpp2m_weights(knots: Tensor) -> Tensor:
    """Data-form weights (N, N) of DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2).

    A history that reaches t = 0 lies infinitely far back in log-SNR and gets weight zero.
    """
    steps = log_snr(knots).diff()
    rows = []
    for i, order in enumerate(step_orders(knots, 2)):
        if order == 1:
            rows.append(torch.ones_like(knots[:1]))
        else:
            half = steps[i] / steps[i - 1] / 2
            rows.append(torch.stack([-half, 1 + half]))
    return lower_triangle(rows)


def dpmpp3m_weights(knots: Tensor, curvature: float) -> Tensor:
    """Data-form weights (N, N) of DPM-Solver++(3M); its second step is that of (2M).

    Args:
        knots: (N + 1,) float64, strictly increasing.
        curvature: factor of the second-difference term: 1 by Taylor's theorem; the released code
            has 1/2 (its single-step variant 1), which costs an order.
    """
    steps = log_snr(knots).diff()
    weights = dpmpp2m_weights(knots)
    rows = [weights[i, max(i - 1, 0) : i + 1] for i in range(len(steps))]
    for i, order in enumerate(step_orders(knots, 3)):
        if order == 3:
            h, before, further = steps[i], steps[i - 1], steps[i - 2]
            _, slope, square = log_snr_moments(h, 3)
            recent, distant = h / before, h / further  # 1 / r0 and 1 / r1
            first, second = before / (before + further), h / (before + further)
            lift = slope * first + curvature * square * second  # weight of D1_0 - D1_1
            newest, oldest = (slope + lift) * recent, lift * distant
            rows[i] = torch.stack([oldest, -newest - oldest, 1 + newest])
    return lower_triangle(rows)


def dpmpp2m_table(knots: Tensor) -> SolverTable:
    """DPM-Solver++(2M) on ``knots`` (N + 1,); first order in the first step and into t = 1."""
    return data_table(knots, dpmpp2m_weights(knots))


def dpmpp3m_table(knots: Tensor) -> SolverTable:
    """DPM-Solver++(3M) of third order on ``knots`` (N + 1,); first order into t = 1."""
    return data_table(knots, dpmpp3m_weights(knots, curvature=1.0))


def released_dpmpp3m_table(knots: Tensor) -> SolverTable:
    """DPM-Solver++(3M) as released, with half the second difference: of second order."""
    return data_table(knots, dpmpp3m_weights(knots, curvature=0.5))
