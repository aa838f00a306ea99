"""Gradient search: differentiate the loop and descend on the distance to the teacher."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from dss_ray.errors import DivergedError, unknown
from dss_ray.models.meter import BACKWARD, Meter
from dss_ray.search.parametrization import Parametrization
from dss_ray.search.result import Batch, Batches, SearchResult, SearchSettings
from dss_ray.solver.sampling import steps
from dss_ray.solver.table import SolverTable

Objective = Callable[[Sequence[Tensor], Batch, Tensor], Tensor]


def end_loss(states: Sequence[Tensor], batch: Batch, knots: Tensor) -> Tensor:  # noqa: ARG001
    """Mean square error of the end state."""
    return mse_loss(states[-1], batch.end)


def trajectory_loss(states: Sequence[Tensor], batch: Batch, knots: Tensor) -> Tensor:
    """Sum over the knots of the mean square error to the teacher's state at that time."""
    errors = [
        mse_loss(state, batch.at(knot)) for state, knot in zip(states, knots[1:], strict=True)
    ]
    return torch.stack(errors).sum()


OBJECTIVES: dict[str, Objective] = {"end": end_loss, "trajectory": trajectory_loss}


@dataclass(frozen=True)
class Descent:
    """How to descend: what, with which optimiser, how often."""

    objective: Objective
    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer]
    iterations: int
    batch_size: int
    falling: bool  # the rate falls to zero on a half cosine


def gradient(
    velocity: Meter, reference: Batches, start: SolverTable, settings: SearchSettings
) -> SearchResult:
    """Adam on the softmax times and the lower coefficients of ``start``, on a falling rate."""
    if settings.objective not in OBJECTIVES:
        raise unknown("objective", settings.objective, OBJECTIVES)
    descent = Descent(
        objective=OBJECTIVES[settings.objective],
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=settings.learning_rate),
        iterations=settings.iterations,
        batch_size=settings.batch_size,
        falling=True,
    )
    return descend(velocity, reference, Parametrization.of(start), descent)


def descend(
    velocity: Meter, reference: Batches, start: Parametrization, descent: Descent
) -> SearchResult:
    """Descend from ``start``; the table after the last iteration.

    Raises:
        DivergedError: if the loss becomes NaN or infinite.
    """
    began, history = time.perf_counter(), list[tuple[int, float]]()
    parameters = [tensor.clone().requires_grad_() for tensor in start.parameters]
    current = Parametrization(*parameters, start.mask, start.first, start.last)
    optimizer = descent.optimizer(parameters)
    horizon = descent.iterations if descent.falling else 10**12
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, horizon)
    for iteration in range(descent.iterations):
        batch = reference.batch(iteration, descent.batch_size)
        optimizer.zero_grad()
        table = current.table()
        states = [state for _, state in steps(velocity, table, batch.noise, batch.label)]
        loss = descent.objective(states, batch, table.knots)
        if not loss.isfinite():
            raise DivergedError(
                f"the gradient search met a loss of {loss.item()} at iteration {iteration}: "
                "lower the learning rate or start from another table"
            )
        with velocity.timed():
            loss.backward()  # type: ignore[no-untyped-call]
        velocity.evaluations += (
            BACKWARD * velocity.evaluations_per_query * table.nfe * len(batch.noise)
        )
        optimizer.step()
        schedule.step()
        history.append((iteration, loss.item()))
    with torch.no_grad():
        table = current.table()
    seconds = time.perf_counter() - began
    return SearchResult(table, history, velocity.evaluations, seconds, velocity.seconds)
