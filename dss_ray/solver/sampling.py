"""The one loop: step a table through a velocity field."""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.solver.table import SolverTable

LARGE = 1e38  # float32 ends beyond, where torch refuses an alpha and a product is infinite


class Velocity(Protocol):
    """dx/dt of the flow: x (B, *sample_shape), t a scalar or (B,), label (B,) int64 or None."""

    def __call__(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """The velocity at (x, t), of the shape of x."""
        ...


Field = TypeVar("Field", bound=Velocity)


def per_query(velocity: Field | Sequence[Field], nfe: int) -> Sequence[Field]:
    """One velocity for each of ``nfe`` queries; a single one serves all.

    Raises:
        UsageError: if there are more or fewer.
    """
    if not isinstance(velocity, Sequence):
        return [velocity] * nfe
    if len(velocity) != nfe:
        raise UsageError(
            f"sampling: expected one velocity for each of {nfe} queries, got {len(velocity)}"
        )
    return velocity


def differences(table: SolverTable) -> tuple[Tensor, Tensor]:
    """What each step adds: the differences of successive start weights (N,) and rows (N, N)."""
    start = torch.cat([table.start[:1] - 1, table.start.diff()])
    weights = torch.cat([table.weights[:1], table.weights.diff(dim=0)])
    return start, weights


def advance(
    state: Tensor, origin: Tensor, velocities: Sequence[Tensor], start: Tensor, row: Tensor
) -> Tensor:
    """One step: ``state + start * origin + sum_j row[j] * velocities[j]``.

    Adding differences to the current state, instead of summing from the origin, lets a pipeline
    edit the state between steps. Coefficients are float64 and take the state's dtype here.

    Args:
        state: (B, *sample_shape), the current state x_i.
        origin: (B, *sample_shape), the start state x_0.
        velocities: the velocities met so far, each of the state's shape.
        start: scalar, difference of start weights.
        row: (N,) or longer than ``velocities``, differences of velocity weights.
    """
    for weight, velocity in zip(scalars(row, state), velocities, strict=False):
        state = plus(state, weight, velocity)
    return plus(state, start.to(state) if start.requires_grad else float(start), origin)


def plus(state: Tensor, weight: Tensor | float, direction: Tensor) -> Tensor:
    """``state + weight * direction``, in one pass over memory where the weight is a number."""
    if isinstance(weight, Tensor) or not abs(weight) < LARGE:
        return state + weight * direction
    return torch.add(state, direction, alpha=weight) if weight != 0 else state


def scalars(coefficients: Tensor, like: Tensor) -> Sequence[Tensor | float]:
    """Tensors where gradients flow, else numbers: a fine reference has mostly zeros to skip."""
    if coefficients.requires_grad:
        return list(coefficients.to(like))
    return cast(Sequence[float], coefficients.tolist())


def steps(
    velocity: Velocity | Sequence[Velocity],
    table: SolverTable,
    noise: Tensor,
    label: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Step ``table`` from ``noise``; yields (v_i, x_{i+1}), each (B, *sample_shape), N times.

    A sequence of velocities has one for each query, such as models under guidance per step.

    Raises:
        UsageError: if there are more or fewer velocities than queries.
    """
    state, velocities = noise, list[Tensor]()
    fields, times = per_query(velocity, table.nfe), table.times.to(noise)
    for field, time, start, row in zip(fields, times, *differences(table), strict=True):
        velocities.append(field(state, time, label))
        state = advance(state, noise, velocities, start, row)
        yield velocities[-1], state


def sample(
    velocity: Velocity | Sequence[Velocity],
    table: SolverTable,
    noise: Tensor,
    label: Tensor | None = None,
) -> Tensor:
    """The end state (B, *sample_shape) of ``table`` started at ``noise``; see ``steps``."""
    state = noise
    for _, reached in steps(velocity, table, noise, label):
        state = reached
    return state
