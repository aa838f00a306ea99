"""The quadratic model of an objective near a table: forward mode, else reverse mode."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.errors import ModelError
from dss_ray.models.conformity import explain
from dss_ray.models.meter import Meter
from dss_ray.search.memory import MEBIBYTE, peak, room, samples_that_fit
from dss_ray.search.objective import SMALLEST, Objective
from dss_ray.search.problem import Weighted
from dss_ray.search.result import Batch, Batches
from dss_ray.search.reverse import reverse_jacobian
from dss_ray.search.space import Space
from dss_ray.search.tangents import Directions, derivatives, directions, push
from dss_ray.solver.sampling import differences
from dss_ray.solver.table import SolverTable

log = logging.getLogger(__name__)
AT_ONCE = 32  # tangents; the value is computed again for each chunk, so that few cost more
CACHED = 64 * MEBIBYTE  # of tensors at once; on a CPU more were no faster


@dataclass(frozen=True)
class Plan:
    """How to take Jacobians within a budget.

    Args:
        samples: of one batch.
        tangents: of each sample, pushed through the network together; 0 means reverse mode.
    """

    samples: int
    tangents: int


def forward_jacobian(
    velocity: Meter,
    table: SolverTable,
    along: Directions,
    batch: Batch,
    objective: Objective,
    *,
    at_once: int,
) -> tuple[Tensor, Tensor]:
    """Residuals (B, R) and derivatives (K, B, R) by tangents; no activations are kept.

    Both are multiplied by the root of each residual's weight; ``at_once`` as in ``push``.
    """
    pushed = push(velocity, table, along, batch, at_once)

    def residual(knots: Tensor, *states: Tensor) -> Tensor:
        return objective.residual(states, batch, knots)

    at, moved = (table.knots, *pushed.states), (along.knots.T, *pushed.tangents)
    value, slope = derivatives(residual, at, moved, at_once)
    root = objective.loss.weight(value).sqrt()
    return root * value, root * slope


@dataclass(frozen=True, eq=False)
class Linearizer:
    """Makes quadratic models of an objective in a space; see ``__call__``.

    Args:
        velocity: the metered model.
        objective: of the states.
        space: of tables.
    """

    velocity: Meter
    objective: Objective
    space: Space

    def __call__(
        self, coordinates: Tensor, batches: Iterable[Weighted], tangents: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Half the objective's second and first derivatives at ``coordinates``.

        Args:
            coordinates: (P,).
            batches: samples, each batch with the number of samples that one of it stands for.
            tangents: as in ``Plan``.

        Returns:
            Directions (P, K) in the space, and float64 on the CPU along these the Gauss-Newton
            matrix (K, K) and the gradient (K,).
        """
        table, along = self.space.table(coordinates), directions(self.space, coordinates)
        count = along.basis.shape[1]
        matrix, slope = coordinates.new_zeros(count, count), coordinates.new_zeros(count)
        elements, generator = 0.0, torch.Generator().manual_seed(0)
        for batch, weight in batches:
            residual, jacobian = self.jacobian(table, along, batch, tangents, generator)
            more, further = products(residual, jacobian)
            matrix, slope = matrix + weight * more.cpu(), slope + weight * further.cpu()
            elements += weight * residual.numel()
        matrix, slope = matrix / elements, slope / elements
        if self.objective.penalty:
            more, further = bound_model(table, along)
            half = self.objective.penalty / 2
            matrix, slope = matrix + half * more, slope + half * further
        return along.basis, matrix, slope

    def jacobian(
        self,
        table: SolverTable,
        along: Directions,
        batch: Batch,
        tangents: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Weighted residuals (B, R) and their derivatives (K, B, R)."""
        common = self.velocity, table, along, batch, self.objective
        if tangents:
            return forward_jacobian(*common, at_once=tangents)
        return reverse_jacobian(*common, generator=generator)

    def plan(self, reference: Batches, most: int, budget: int) -> Plan:
        """What the first samples show to fit into the budget.

        Args:
            reference: the samples.
            most: the largest useful batch.
            budget: in MiB; one sample with one tangent is always taken.
        """
        table = self.space.table(self.space.coordinates)
        along = directions(self.space, self.space.coordinates)
        count = max(1, along.basis.shape[1])

        def work(samples: int, tangents: int) -> None:
            batch, generator = reference.batch(0, samples), torch.Generator()
            products(*self.jacobian(table, along, batch, tangents, generator))

        tangents = min(count, AT_ONCE)
        device = reference.batch(0, 1).noise.device
        allowed = room(budget, device)
        try:
            taken = peak(lambda: work(1, tangents))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning(
                "gauss-newton: the model has no forward-mode derivatives (%s); reverse mode takes "
                "more network evaluations",
                explain(error),
            )
            return self.reverse_plan(lambda samples: work(samples, 0), most, allowed)
        if taken > allowed:
            return Plan(1, max(1, tangents * allowed // taken))
        if device.type == "cpu":
            allowed = min(allowed, CACHED)
        fitting = samples_that_fit(lambda samples: work(samples, tangents), most, allowed, taken)
        return Plan(fitting, tangents)

    @staticmethod
    def reverse_plan(work: Callable[[int], object], most: int, allowed: int) -> Plan:
        """The plan in reverse mode."""
        try:
            return Plan(samples_that_fit(work, most, allowed), 0)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise ModelError(
                f"gauss-newton: the model has no derivatives in reverse mode either "
                f"({explain(error)}): take inference_mode and numpy out of it, or search by "
                "least-squares"
            ) from error


def products(residual: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """J^T J (K, K) and J^T r (K,) in float64."""
    columns = jacobian.flatten(1).double()
    return columns @ columns.T, columns @ residual.flatten().double()


def bound_model(table: SolverTable, along: Directions) -> tuple[Tensor, Tensor]:
    """A quadratic model of ``error_bound``: |c| is c^2 / (2 |c_0|) + |c_0| / 2 near c_0."""
    rows, moved = differences(table)[1].flatten(), along.rows.flatten(0, 1)
    weighted = moved / rows.abs().clamp(min=SMALLEST)[:, None]
    return weighted.T @ moved, weighted.T @ rows
