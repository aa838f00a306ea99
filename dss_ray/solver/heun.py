"""Heun's method: two queries a step."""

import torch
from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.solver.forms import consistent_table
from dss_ray.solver.table import SolverTable


def heun_table(knots: Tensor) -> SolverTable:
    """Heun's second-order method with N queries, on every second of ``knots`` (N + 1,).

    The odd states are Euler predictions of the even ones that follow them, so the table's times
    repeat (EDM, arXiv 2206.00364, algorithm 1, without its final Euler step).

    Raises:
        UsageError: if N is odd.
    """
    count = len(knots) - 1
    if count % 2:
        raise UsageError(f"heun: expected an even number of queries, two a step, got {count}")
    steps = knots[::2].diff()
    rows = []
    for m, step in enumerate(steps):
        done = (steps[:m] / 2).repeat_interleave(2)
        for row in (step[None], torch.stack([step / 2, step / 2])):
            rows.append(torch.cat([done, row, knots.new_zeros(count - len(done) - len(row))]))
    states = torch.cat([knots[:1], knots[2::2].repeat_interleave(2)])
    return consistent_table(states, torch.stack(rows))
