"""Gradient search: differentiate the loop and descend on the distance to the teacher."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from dss_ray.errors import DivergedError, TableError, require_known
from dss_ray.models.meter import BACKWARD, Meter
from dss_ray.search.parametrization import Parametrization
from dss_ray.search.result import Batch, Batches, SearchResult, SearchSettings
from dss_ray.solver.sampling import steps
from dss_ray.solver.table import SolverTable

ITERATIONS, BATCH_SIZE, LEARNING_RATE = 100, 64, 3e-3
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
    falling: bool  # whether the rate falls to zero on a half cosine

    def rate(self, iteration: int) -> float:
        """The learning rate at ``iteration``, as a fraction of the first."""
        return (1 + math.cos(math.pi * iteration / self.iterations)) / 2 if self.falling else 1.0


def gradient(
    velocity: Meter, reference: Batches, start: SolverTable, settings: SearchSettings
) -> SearchResult:
    """Adam on the softmax times and the lower coefficients of ``start``, on a falling rate."""
    require_known("objective", settings.objective, OBJECTIVES)
    rate = settings.learning_rate or LEARNING_RATE
    descent = Descent(
        objective=OBJECTIVES[settings.objective],
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=rate),
        iterations=settings.iterations or ITERATIONS,
        batch_size=settings.batch_size or BATCH_SIZE,
        falling=True,
    )
    return descend(velocity, reference, Parametrization.of(start), descent)


def descend(
    velocity: Meter, reference: Batches, start: Parametrization, descent: Descent
) -> SearchResult:
    """Descend from ``start``; the table after the last iteration.

    Raises:
        DivergedError: if the loss or a parameter becomes NaN or infinite.
    """
    began, fetching, history = time.perf_counter(), 0.0, list[tuple[int, float]]()
    logits, lower = (tensor.detach().clone().requires_grad_() for tensor in start.parameters)
    current = replace(start, logits=logits, lower=lower)
    optimizer = descent.optimizer(current.parameters)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, descent.rate)
    for iteration in range(descent.iterations):
        asked = time.perf_counter()
        batch = reference.batch(iteration, descent.batch_size)
        fetching += time.perf_counter() - asked
        optimizer.zero_grad()
        table = valid_table(current, iteration)
        states = [state for _, state in steps(velocity, table, batch.noise, batch.label)]
        loss = descent.objective(states, batch, table.knots)
        if not loss.isfinite():
            raise diverged(f"a loss of {loss.item()}", iteration)
        with velocity.timed():
            loss.backward()  # type: ignore[no-untyped-call]
        velocity.evaluations += (
            BACKWARD * velocity.evaluations_per_query * table.nfe * len(batch.noise)
        )
        optimizer.step()
        schedule.step()
        history.append((iteration, loss.item()))
    with torch.no_grad():
        table = valid_table(current, descent.iterations)
    seconds = time.perf_counter() - began - fetching
    return SearchResult(table, history, velocity.evaluations, seconds, velocity.seconds)


def valid_table(parametrization: Parametrization, iteration: int) -> SolverTable:
    """The table of finite parameters; a DivergedError where they make none."""
    try:
        return parametrization.table()
    except TableError as error:
        raise diverged(f"parameters that make no table ({error})", iteration) from None


def diverged(what: str, iteration: int) -> DivergedError:
    """The error for a descent that met ``what``."""
    return DivergedError(
        f"the gradient search met {what} at iteration {iteration}: "
        "lower the learning rate or start from another table"
    )
