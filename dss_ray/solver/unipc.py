"""UniPC: a multistep predictor and corrector in the data prediction, with B(h) = exp(h) - 1."""

import torch
from torch import Tensor

from dss_ray.solver.forms import consistent_table
from dss_ray.solver.multistep import NEAR_NOISE, log_snr_moments, step_orders
from dss_ray.solver.table import SolverTable


def unipc_table(knots: Tensor, order: int) -> SolverTable:
    """UniPC (bh2) of ``order`` on ``knots`` (N + 1,), predicting data (arXiv 2302.04867).

    The correction of each state is part of the next row, so that one query serves both; the last
    state is predicted only. Coefficients at t = 0 are taken at 1e-6.
    """
    log_snr = knots.clamp(min=NEAR_NOISE).logit()
    ratios = (1 - knots[1:]) / (1 - knots[:-1])
    orders = step_orders(knots, order)
    state = corrected = torch.zeros_like(ratios)
    rows, data = [], []
    for i, velocity in enumerate(torch.eye(len(ratios), dtype=knots.dtype)):
        data.append(state + (1 - knots[i]) * velocity)
        if i > 0:
            mixed = mixture(log_snr, i - 1, orders[i - 1], data)
            corrected = ratios[i - 1] * corrected + (1 - ratios[i - 1]) * mixed
        state = ratios[i] * corrected + (1 - ratios[i]) * mixture(log_snr, i, orders[i], data)
        rows.append(state)
    return consistent_table(knots, torch.stack(rows))


def mixture(log_snr: Tensor, i: int, order: int, data: list[Tensor]) -> Tensor:
    """Effective data prediction of step i; it corrects where the prediction i + 1 is known."""
    others = [i - m for m in range(1, order)] + list(range(i + 1, len(data)))
    if not others:
        return data[i]
    step = log_snr[i + 1] - log_snr[i]
    places = (log_snr[others] - log_snr[i]) / step
    differences = torch.stack([data[m] - data[i] for m in others])
    return torch.addmv(data[i], differences.T, factors(places, step) / places)


def factors(places: Tensor, step: Tensor) -> Tensor:
    """Coefficients (k,) of the divided differences at ``places`` (k,), in units of the step.

    They solve R a = b / B(h) (arXiv 2302.04867, theorem 3.1); a single difference gets 1/2.
    """
    count = len(places)
    if count == 1:
        return torch.full_like(places, 0.5)
    powers = torch.stack([places**k for k in range(count)])
    solution: Tensor = torch.linalg.solve(powers, log_snr_moments(step, count + 1)[1:])
    return solution
