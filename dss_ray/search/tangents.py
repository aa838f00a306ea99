"""Push tangents of a table's coordinates through the loop in forward mode."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import jacfwd, jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from dss_ray.models.meter import Meter
from dss_ray.search.result import Batch
from dss_ray.search.space import Space
from dss_ray.solver.sampling import advance, differences
from dss_ray.solver.table import SolverTable

RANK = 1e-9  # directions that move the table by less than this fraction do not


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions in a space, ordered by the query at which they begin to act.

    Args:
        basis: (P, K) float64, orthonormal; K < P where some coordinates move nothing.
        times: (N, K), derivatives of the query times.
        start: (N, K), of the differences of start weights.
        rows: (N, N, K), of the differences of velocity weights.
        knots: (N + 1, K).
        active: (2 N,), how many directions have begun to act at query 0, in step 0, at query 1 ...
    """

    basis: Tensor
    times: Tensor
    start: Tensor
    rows: Tensor
    knots: Tensor
    active: list[int]


def directions(space: Space, coordinates: Tensor) -> Directions:
    """An orthonormal basis of ``space`` at ``coordinates`` that acts as late as possible.

    A tangent costs nothing before it acts. Gram-Schmidt over the table's entries in the order in
    which they act makes each further direction blind to all entries before its own.
    """

    def entries(point: Tensor) -> tuple[Tensor, ...]:
        table = space.table(point)
        return table.times, *differences(table), table.knots

    times, start, rows, knots = jacfwd(entries)(coordinates)
    count = len(times)
    acting = []
    for i in range(count):
        acting += [times[i : i + 1], torch.cat([start[i : i + 1], rows[i, : i + 1]])]
    basis, active = coordinates.new_zeros(len(coordinates), 0), []
    for group in acting:
        for row in group:
            rest = row - basis @ (basis.T @ row)
            rest = rest - basis @ (basis.T @ rest)  # twice is enough (Kahan and Parlett)
            if rest.norm() > RANK * max(1.0, float(row.norm())):
                basis = torch.cat([basis, (rest / rest.norm())[:, None]], 1)
        active.append(basis.shape[1])
    return Directions(basis, times @ basis, start @ basis, rows @ basis, knots @ basis, active)


@dataclass(frozen=True, eq=False)
class Pushed:
    """States after each step, each (B, *sample_shape), and their tangents (K_i, B, ...)."""

    states: list[Tensor]
    tangents: list[Tensor]


def push(
    velocity: Meter, table: SolverTable, along: Directions, batch: Batch, at_once: int
) -> Pushed:
    """Step ``table`` over ``batch`` with the tangents of all directions that act.

    Args:
        velocity: the metered model.
        table: the solver.
        along: directions in which it may move.
        batch: the samples.
        at_once: how many tangents of each sample go through the network together.
    """
    state, velocities = batch.noise, list[Tensor]()
    tangent = state.new_zeros(0, *state.shape)
    slopes, states, tangents = list[Tensor](), list[Tensor](), list[Tensor]()
    dtimes, dstart, drows = (part.to(state) for part in (along.times, along.start, along.rows))
    start, rows = differences(table)
    for i, time in enumerate(table.times.to(state)):
        count = along.active[2 * i]
        tangent = grown(tangent, count)
        value, slope = velocity_tangents(
            velocity, (state, time), (tangent, dtimes[i, :count]), batch.label, at_once
        )
        velocities.append(value)
        slopes.append(slope)
        tangent = grown(tangent, along.active[2 * i + 1])
        for j, old in enumerate(slopes):
            tangent[: len(old)].add_(old, alpha=float(rows[i, j]))
        basis = torch.stack([*velocities, batch.noise])
        moved = torch.cat([drows[i, : i + 1], dstart[i : i + 1]])[:, : len(tangent)]
        tangent = tangent + torch.einsum("jk,j...->k...", moved, basis)
        state = advance(state, batch.noise, velocities, start[i], rows[i])
        states.append(state)
        tangents.append(tangent)
    return Pushed(states, tangents)


def grown(tangent: Tensor, count: int) -> Tensor:
    """The tangents and, behind them, zeros for the directions that begin to act."""
    return torch.cat([tangent, tangent.new_zeros(count - len(tangent), *tangent.shape[1:])])


def velocity_tangents(
    velocity: Meter,
    at: tuple[Tensor, Tensor],
    tangents: tuple[Tensor, Tensor],
    label: Tensor | None,
    at_once: int,
) -> tuple[Tensor, Tensor]:
    """The velocity (B, ...) at (x, t) and its derivatives (K, B, ...) along K tangents."""
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no forward mode
        found = derivatives(lambda x, t: velocity(x, t, label), at, tangents, at_once)
    velocity.evaluations += velocity.evaluations_per_query * len(tangents[0]) * len(at[0])
    return found


def derivatives(
    function: Callable[..., Tensor],
    at: tuple[Tensor, ...],
    tangents: tuple[Tensor, ...],
    at_once: int,
) -> tuple[Tensor, Tensor]:
    """The value of ``function`` and its derivatives (K, ...) along K tangents of its arguments."""

    def one(*moved: Tensor) -> Any:
        return jvp(function, at, moved)

    if len(tangents[0]) == 0:
        value = function(*at)
        return value, value.new_zeros(0, *value.shape)
    slopes = list[Tensor]()
    for chunk in zip(*(torch.split(part, at_once) for part in tangents), strict=True):
        value, slope = vmap(one, out_dims=(None, 0))(*chunk)  # type: ignore[arg-type]
        slopes.append(slope)
    return value, slopes[0] if len(slopes) == 1 else torch.cat(slopes)
