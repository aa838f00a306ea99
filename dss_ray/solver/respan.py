"""A solver that was made for one time range, on another."""

from dataclasses import replace

import torch

from dss_ray.solver.table import SolverTable


def respanned(table: SolverTable, first: float, last: float) -> SolverTable:
    """``table`` with its knots mapped by a straight line onto ``first`` .. ``last``.

    A step keeps its share of the whole way, so the weights grow as the time does. A table that
    already runs from end to end stays as it is, bit for bit.
    """
    begin, end = float(table.knots[0]), float(table.knots[-1])
    if (begin, end) == (first, last):
        return table
    factor = (last - first) / (end - begin)
    knots = (first + (table.knots - begin) * factor).clamp(first, last)
    times = (first + (table.times - begin) * factor).clamp(first, last)
    ends = torch.tensor([first, last], dtype=torch.float64)
    knots = torch.cat([ends[:1], knots[1:-1], ends[1:]])  # exact, as a model's range is checked
    return replace(table, times=times, weights=table.weights * factor, knots=knots)
