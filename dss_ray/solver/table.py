"""A solver as a validated, immutable table: query times, start weights and velocity weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dss_ray.errors import TableError

TOLERANCE = 1e-9  # of the consistency conditions; float64 reductions stay below 1e-12
FIELDS = ("times", "start", "weights", "knots")


@dataclass(frozen=True, eq=False)
class SolverTable:
    """An explicit solver of dx/dt = velocity(x, t) in N velocity queries (DESIGN: one table).

    The state after step i is ``start[i] * x_0 + sum_{j <= i} weights[i, j] * v_j`` with
    ``v_j = velocity(x_j, times[j])`` (Bespoke Non-Stationary solvers, arXiv 2403.01329, eq. 10).

    Args:
        times: (N,) float64, query times, 0 = noise, 1 = data, not decreasing.
        start: (N,) float64, weight of the start state in each new state.
        weights: (N, N) float64, lower triangular, weights of the velocities met so far.
        knots: (N + 1,) float64, the times at which the states are meant to lie.
        free: True for the whole space of tables, where start weights and row sums are not tied.

    The tensors may carry gradients, so that a search can differentiate through a table.

    Raises:
        TableError: if shapes, finiteness, order, range, triangularity or consistency fail.
    """

    times: Tensor
    start: Tensor
    weights: Tensor
    knots: Tensor
    free: bool = False

    def __post_init__(self) -> None:
        check_shapes(self)
        check_times(self)
        check_weights(self)

    @property
    def nfe(self) -> int:
        """The number of velocity queries, N."""
        return len(self.times)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers; ``from_json`` restores the same float64 values exactly."""
        arrays = {name: getattr(self, name).detach().tolist() for name in FIELDS}
        return arrays | {"free": self.free}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> SolverTable:
        """The table written by ``to_json``.

        Raises:
            TableError: if a field is missing, foreign or no array of numbers.
        """
        if not isinstance(document, dict) or set(document) != {*FIELDS, "free"}:
            found = sorted(document) if isinstance(document, dict) else type(document).__name__
            raise TableError(
                f"solver table: expected the fields {', '.join(FIELDS)} and free, got {found}"
            )
        if not isinstance(document["free"], bool):
            raise TableError(f"solver table: free must be true or false, got {document['free']!r}")
        return cls(
            **{name: as_tensor(name, document[name]) for name in FIELDS}, free=document["free"]
        )


def as_tensor(name: str, values: object) -> Tensor:
    """``values`` as a float64 tensor, or a TableError that names the field."""
    try:
        return torch.tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TableError(f"solver table: {name} is no array of numbers ({error})") from None


def check_shapes(table: SolverTable) -> None:
    """Each tensor is float64, finite and of the shape that N asks for."""
    count = table.times.numel()
    shapes = {
        "times": (count,),
        "start": (count,),
        "weights": (count, count),
        "knots": (count + 1,),
    }
    if count == 0:
        raise TableError("solver table: expected at least one query time, got none")
    for name, shape in shapes.items():
        tensor = getattr(table, name)
        if tensor.shape != shape:
            raise TableError(
                f"solver table: {name} must have shape {shape} for {count} query times, "
                f"got {tuple(tensor.shape)}"
            )
        if tensor.dtype != torch.float64:
            raise TableError(f"solver table: {name} must be float64, got {tensor.dtype}")
        if not tensor.isfinite().all():
            raise TableError(f"solver table: {name} holds NaN or infinity; the search diverged")


def check_times(table: SolverTable) -> None:
    """Times and knots lie in [0, 1] and do not decrease."""
    for name in ("times", "knots"):
        values = getattr(table, name).detach()
        if values.min() < -TOLERANCE or values.max() > 1 + TOLERANCE:
            raise TableError(f"solver table: {name} must lie in [0, 1], got {values.tolist()}")
        if (values.diff() < -TOLERANCE).any():
            raise TableError(f"solver table: {name} must not decrease, got {values.tolist()}")


def check_weights(table: SolverTable) -> None:
    """Weights are lower triangular and, unless the table is free, exact for constant velocities."""
    weights, knots = table.weights.detach(), table.knots.detach()
    if weights.triu(1).any():
        raise TableError("solver table: weights must be lower triangular: no step knows the future")
    if table.free:
        return
    scale = 1 + weights.abs().sum(1)
    excess = (weights.sum(1) - (knots[1:] - knots[0])).abs() / scale
    if (table.start.detach() - 1).abs().max() > TOLERANCE or excess.max() > TOLERANCE:
        raise TableError(
            "solver table: start weights must be 1 and each row must sum to the time passed since "
            f"knots[0] (largest deviation {excess.max():.2g}); mark a table of the whole space free"
        )
