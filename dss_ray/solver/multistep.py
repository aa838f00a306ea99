"""Rows of multistep weights: integrate the polynomial through the latest predictions."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

AT_DATA = 1 - 1e-9  # knots beyond this count as t = 1, where log-SNR is infinite
NEAR_NOISE = 1e-6  # where coefficients that diverge at t = 0 are taken instead
NODES, QUADRATURE = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(32))


def interpolatory_row(nodes: Tensor, moments: Tensor) -> Tensor:
    """Weights (k,) that integrate polynomials of degree below k exactly.

    Args:
        nodes: (k,) float64, oldest first, the newest being 0.
        moments: (k,) float64, normalised integrals of 1, u, u^2, ...; the first is 1.
    """
    older = nodes[:-1]
    powers = torch.stack([older**m for m in range(1, len(nodes))]) if len(older) else older
    weights = torch.linalg.solve(powers, moments[1:]) if len(older) else older
    return torch.cat([weights, 1 - weights.sum(0, keepdim=True)])


def unit_moments(values: Tensor, density: Tensor, count: int) -> Tensor:
    """Moments (count,) of ``values`` (32,) at the quadrature nodes of [-1, 1] under ``density``."""
    mass = QUADRATURE * density
    return torch.stack([(mass * values**m).sum() for m in range(count)]) / mass.sum()


def log_snr_moments(step: Tensor, count: int) -> Tensor:
    """Moments (count,) of u in [0, 1], a fraction of a log-SNR step, as data predictions weigh it.

    They are the phi functions of exponential integrators, k! phi_(k + 1) / phi_1 at minus the step
    (DPM-Solver, arXiv 2206.00927, eq. B.2), free of cancellation when the step is small.
    """
    return unit_moments((NODES + 1) / 2, ((NODES - 1) / 2 * step).exp(), count)


def lower_triangle(rows: Sequence[Tensor]) -> Tensor:
    """(N, N) matrix whose row i ends with ``rows[i]`` at the diagonal and is zero elsewhere."""
    count = len(rows)
    return torch.stack(
        [
            torch.nn.functional.pad(row, (i + 1 - len(row), count - 1 - i))
            for i, row in enumerate(rows)
        ]
    )


def step_orders(knots: Tensor, order: int) -> list[int]:
    """Order of each step of a log-SNR method: history permitting, and one for a step to t = 1."""
    orders = [min(order, i + 1) for i in range(len(knots) - 1)]
    if knots[-1] > AT_DATA:
        orders[-1] = 1
    return orders
