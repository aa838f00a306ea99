"""The quadratic model of an objective near a table: forward mode, else reverse mode."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor

from dss_ray.models.meter import Meter
from dss_ray.search.memory import samples_that_fit
from dss_ray.search.objective import SMALLEST, Objective
from dss_ray.search.result import Batch, Batches
from dss_ray.search.reverse import reverse_jacobian
from dss_ray.search.space import Space
from dss_ray.search.tangents import Directions, derivatives, directions, grown, push
from dss_ray.solver.sampling import differences
from dss_ray.solver.table import SolverTable

log = logging.getLogger(__name__)


class Jacobian(Protocol):
    """Weighted residuals (B, R) of a batch and their derivatives (K, B, R)."""

    def __call__(
        self,
        velocity: Meter,
        table: SolverTable,
        along: Directions,
        batch: Batch,
        objective: Objective,
    ) -> tuple[Tensor, Tensor]:
        """The root of each residual's weight is multiplied in."""
        ...


def forward_jacobian(
    velocity: Meter, table: SolverTable, along: Directions, batch: Batch, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Residuals (B, R) and derivatives (K, B, R) by tangents; no activations are kept."""
    pushed = push(velocity, table, along, batch)
    count = along.basis.shape[1]
    tangents = [grown(tangent, count) for tangent in pushed.tangents]

    def residual(knots: Tensor, *states: Tensor) -> Tensor:
        return objective.residual(states, batch, knots)

    value, slope = derivatives(residual, (table.knots, *pushed.states), (along.knots.T, *tangents))
    root = objective.loss.weight(value).sqrt()
    return root * value, root * slope


class Linearizer:
    """Makes quadratic models of an objective in a space; see ``__call__``.

    Args:
        velocity: the metered model.
        objective: of the states.
        space: of tables.
        reference: whose first samples show what fits into the memory.
        most: the largest useful batch.
        budget: in MiB.

    Attributes:
        size: of the batches that the budget allows, a divisor of ``most``.
    """

    def __init__(
        self,
        velocity: Meter,
        objective: Objective,
        space: Space,
        reference: Batches,
        *,
        most: int,
        budget: int,
    ) -> None:
        self.velocity, self.objective, self.space = velocity, objective, space
        self.jacobian: Jacobian = forward_jacobian
        table = space.table(space.coordinates)
        along = directions(space, space.coordinates)

        def work(count: int) -> None:
            batch = reference.batch(0, count)
            products(*self.jacobian(velocity, table, along, batch, objective))

        try:
            work(1)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning(
                "gauss-newton: the model has no forward-mode derivatives (%s); reverse mode takes "
                "more network evaluations",
                str(error).split("\n", 1)[0],
            )
            self.jacobian = reverse_jacobian
        fits = samples_that_fit(work, most, budget)
        self.size = max(size for size in range(1, fits + 1) if most % size == 0)

    def __call__(
        self, coordinates: Tensor, batches: Iterable[Batch]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Half the objective's second and first derivatives at ``coordinates``.

        Returns:
            Directions (P, K) in the space, and float64 on the CPU along these the Gauss-Newton
            matrix (K, K) and the gradient (K,).
        """
        table, along = self.space.table(coordinates), directions(self.space, coordinates)
        matrix, slope, elements = 0.0 * along.basis.T @ along.basis, 0.0 * along.basis[0], 0
        for batch in batches:
            residual, jacobian = self.jacobian(self.velocity, table, along, batch, self.objective)
            more, further = products(residual, jacobian)
            matrix, slope = matrix + more.cpu(), slope + further.cpu()
            elements += residual.numel()
        matrix, slope = matrix / elements, slope / elements
        if self.objective.penalty:
            more, further = bound_model(table, along)
            half = self.objective.penalty / 2
            matrix, slope = matrix + half * more, slope + half * further
        return along.basis, matrix, slope


def products(residual: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """J^T J (K, K) and J^T r (K,) in float64."""
    columns = jacobian.flatten(1).double()
    return columns @ columns.T, columns @ residual.flatten().double()


def bound_model(table: SolverTable, along: Directions) -> tuple[Tensor, Tensor]:
    """A quadratic model of ``error_bound``: |c| is c^2 / (2 |c_0|) + |c_0| / 2 near c_0."""
    rows, moved = differences(table)[1].flatten(), along.rows.flatten(0, 1)
    weighted = moved / rows.abs().clamp(min=SMALLEST)[:, None]
    return weighted.T @ moved, moved.T @ rows.sign()
