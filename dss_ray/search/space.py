"""Spaces of tables: what a search may move, as one flat vector of free numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.errors import TableError, require_known
from dss_ray.solver.classical import classical_table
from dss_ray.solver.forms import data_table, data_weights, velocity_table, velocity_weights
from dss_ray.solver.sampling import differences
from dss_ray.solver.table import SolverTable

Form = tuple[
    Callable[[Tensor, Tensor], SolverTable],  # (knots, weights) -> table
    Callable[[SolverTable], Tensor],  # table -> weights
]
VELOCITY: Form = (velocity_table, velocity_weights)
DATA: Form = (data_table, data_weights)
CONSISTENT: dict[str, tuple[Form, str]] = {  # where the coefficients count from
    "velocity": (VELOCITY, "euler"),
    "data": (DATA, "euler"),
    "ab2": (VELOCITY, "ab2"),
    "ab3": (VELOCITY, "ab3"),
    "ab4": (VELOCITY, "ab4"),
    "dpmpp2m": (DATA, "dpmpp2m"),
    "dpmpp3m": (DATA, "dpmpp3m"),
}
WHOLE = "whole"
AUTO = "auto"  # a method's own choice, the whole space unless it says otherwise
FREE = (AUTO, WHOLE)  # where rows have sums of their own
SPACES = (*CONSISTENT, WHOLE)
LEAST = 1e-7  # narrowest step, as a fraction of the time range: float32 cannot tell less
NARROWEST = 1e-4  # fraction at which the whole space starts where query times touch


@dataclass(frozen=True, eq=False)
class Space:
    """A set of tables around a start.

    Args:
        coordinates: (P,) float64, where the search starts.
        table: (P,) -> the table there; differentiable in reverse and forward mode.
    """

    coordinates: Tensor
    table: Callable[[Tensor], SolverTable]


def make_space(name: str, start: SolverTable) -> Space:
    """The space ``name`` around ``start``.

    ``velocity`` and ``data`` have softmax times and free coefficients, rows summing to one, in that
    interpolation (Differentiable Solver Search, arXiv 2505.21114, section 4). A classical name
    counts the coefficients from that solver's on the current grid, so that they move with the
    times. Those are the same tables in other coordinates; ``whole`` is larger: query times of
    their own, free start weights and free row sums (Bespoke Non-Stationary solvers, arXiv
    2403.01329).

    Raises:
        UsageError: if the name is unknown.
        TableError: if ``start`` lies outside of the space.
    """
    require_known("space", name, (AUTO, *SPACES))
    return whole(start) if name in FREE else consistent(start, *CONSISTENT[name])


def consistent(start: SolverTable, form: Form, base: str) -> Space:
    """Softmax times, and strictly lower corrections to the classical solver ``base``."""
    widths, build, weights = start.knots.diff(), *form
    narrow = widths < LEAST * widths.sum()
    if start.free or narrow.any() or not torch.equal(start.times, start.knots[:-1]):
        raise TableError(
            "the search cannot start from this table: its knots must increase and be its "
            "query times, and its rows sum to the time passed; start from another one, such as "
            "ab2, or search the space 'whole'"
        )
    first, last, nfe = float(start.knots[0]), float(start.knots[-1]), start.nfe
    rows, columns = torch.tril_indices(nfe, nfe, -1)

    def table(coordinates: Tensor) -> SolverTable:
        knots = softmax_knots(coordinates[:nfe], first, last)
        origin = weights(classical_table(base, knots)).tril(-1)
        lower = origin.index_put((rows, columns), coordinates[nfe:], accumulate=True)
        return build(knots, lower + torch.diag(1 - lower.sum(1)))

    moved = weights(start) - weights(classical_table(base, start.knots))
    return Space(torch.cat([widths.log(), moved[rows, columns]]), table)


def softmax_knots(logits: Tensor, first: float, last: float) -> Tensor:
    """Knots (N + 1,) whose increments are the softmax of ``logits`` (N,), none of them zero.

    The ends are exact.
    """
    widths = logits.softmax(0).clamp(min=LEAST)
    progress = (widths / widths.sum()).cumsum(0)[:-1].clamp(max=1)
    inner = (first + (last - first) * progress).clamp(max=last)
    return torch.cat([logits.new_tensor([first]), inner, logits.new_tensor([last])])


def whole(start: SolverTable) -> Space:
    """All tables: softmax query times, and what each step adds of the start and the velocities."""
    nfe, knots = start.nfe, start.knots.detach()
    first, last = float(knots[0]), float(knots[-1])
    rows, columns = torch.tril_indices(nfe, nfe)

    def table(coordinates: Tensor) -> SolverTable:
        times = softmax_knots(coordinates[: nfe + 1], first, last)[1:-1]
        origin, steps = coordinates[nfe + 1 : 2 * nfe + 1], coordinates[2 * nfe + 1 :]
        lower = coordinates.new_zeros(nfe, nfe).index_put((rows, columns), steps)
        return SolverTable(times, 1 + origin.cumsum(0), lower.cumsum(0), knots, free=True)

    ends = torch.cat([knots[:1], start.times, knots[-1:]])
    widths = ends.diff() / (last - first)
    widths = torch.where(widths < LEAST, NARROWEST, widths)
    origin, steps = differences(start)
    return Space(torch.cat([widths.log(), origin, steps[rows, columns]]), table)
