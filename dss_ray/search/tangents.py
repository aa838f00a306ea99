"""Push tangents of a table's coordinates through the loop in forward mode."""

from collections.abc import Callable, Sequence
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
    """States after each step, each (B, *sample_shape), and their tangents (K, B, ...)."""

    states: Sequence[Tensor]
    tangents: Sequence[Tensor]


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
    (nfe, count), noise = along.times.shape, batch.noise
    # What outlives a query comes first: among the network's large blocks it would leave holes that
    # are too small for the next query's, and memory would grow with N.
    met = noise.new_empty(nfe + 1, *noise.shape)
    states = [torch.empty_like(noise) for _ in range(nfe)]  # jvp copies the whole storage of views
    slopes = [noise.new_empty(acting, *noise.shape) for acting in along.active[::2]]
    tangents = noise.new_zeros(nfe, count, *noise.shape)
    dtimes, dstart, drows = (part.to(noise) for part in (along.times, along.start, along.rows))
    start, rows = differences(table)
    met[0], state, tangent = noise, noise, tangents[0]
    for i, time in enumerate(table.times.to(noise)):
        asked, acting = along.active[2 * i : 2 * i + 2]
        met[i + 1], slopes[i][:] = velocity_tangents(
            velocity, (state, time), (tangent[:asked], dtimes[i, :asked]), batch.label, at_once
        )
        states[i][:] = advance(state, noise, met[1 : i + 2].unbind(), start[i], rows[i])
        tangents[i, :asked] = tangent[:asked]
        for j, slope in enumerate(slopes[: i + 1]):
            tangents[i, : len(slope)].add_(slope, alpha=float(rows[i, j]))
        moved = torch.cat([dstart[i : i + 1], drows[i, : i + 1]])[:, :acting]
        tangents[i, :acting].flatten(1).addmm_(moved.T, met[: i + 2].flatten(1))
        state, tangent = states[i], tangents[i]
    return Pushed(states, tangents.unbind())


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
    found, done = None, 0
    for chunk in zip(*(torch.split(part, at_once) for part in tangents), strict=True):
        value, slope = vmap(one, out_dims=(None, 0))(*chunk)  # type: ignore[arg-type]
        if found is None:
            found = slope.new_empty(len(tangents[0]), *value.shape)
        found[done : done + len(slope)] = slope
        done += len(slope)
    assert found is not None
    return value, found
