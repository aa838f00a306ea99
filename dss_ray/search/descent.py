"""Descend through the differentiated loop, whatever the recipe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.models.meter import BACKWARD, Meter
from dss_ray.search.activations import Plan, bytes_per_sample, fit, parts, recomputed
from dss_ray.search.iterate import Iterate, OptimizerOf, diverged
from dss_ray.search.precision import in_precision
from dss_ray.search.result import Batch, Batches, Journal, SearchResult
from dss_ray.search.space import Space
from dss_ray.solver.sampling import steps
from dss_ray.solver.table import SolverTable

JOURNAL_SECONDS = 2.0  # between two writes: as much and an iteration is what an interruption costs


@dataclass(frozen=True)
class Descent:
    """How to descend.

    Args:
        stage: its name in a journal.
        objective: (states after each step, batch, table) -> scalar, a mean over samples.
        optimizer: makes the optimiser of the coordinates.
        iterations: number of steps.
        batch_size: samples of one step, in order, round and round; all where there are fewer.
        falling: whether the rate falls to zero on a half cosine.
        memory: MiB that the network's activations may take.
        clip: largest norm of a gradient; None does not clip.
        ema: decay of the average of the coordinates; 0 keeps the last.
        precision: of the network; see ``SearchSettings``.
    """

    stage: str
    objective: Callable[[Sequence[Tensor], Batch, SolverTable], Tensor]
    optimizer: OptimizerOf
    iterations: int
    batch_size: int
    falling: bool
    memory: int
    clip: float | None = None
    ema: float = 0.0
    precision: str = "float32"

    def rate(self, iteration: int) -> float:
        """The learning rate at ``iteration``, as a fraction of the first."""
        return (1 + math.cos(math.pi * iteration / self.iterations)) / 2 if self.falling else 1.0


def descend(
    velocity: Meter,
    reference: Batches,
    space: Space,
    descent: Descent,
    journal: Journal | None = None,
) -> SearchResult:
    """Descend from the start of ``space``; the table at the average of the coordinates.

    With a journal the same call goes on where the last one stopped, bit for bit.

    Raises:
        DivergedError: if the loss, its gradient or the table becomes NaN or infinite.
        FileError: if the journal cannot be written.
    """
    iterate = Iterate(space, descent.optimizer, descent.precision == "float16")
    kept = journal.read(descent.stage) if journal else None
    plan = None
    if kept:
        iterate.restore(kept, velocity)
        plan = Plan.of(kept["plan"])
    written = time.perf_counter()
    for iteration in range(len(iterate.losses), descent.iterations):
        batch = reference.batch(iteration, descent.batch_size)
        began = time.perf_counter()
        plan = plan or planned(velocity, batch, iterate.table, descent)
        iterate.losses.append(backward(velocity, batch, iterate, descent, plan))
        iterate.step(descent.rate(iteration), descent.clip, descent.ema)
        iterate.seconds += time.perf_counter() - began
        last = iteration + 1 == descent.iterations
        if journal and (last or time.perf_counter() - written > JOURNAL_SECONDS):
            state = iterate.tensors(velocity) | {"plan": plan.tensor}
            journal.write(descent.stage, state)
            written = time.perf_counter()
    with torch.no_grad():
        table = iterate.table_at(iterate.average)
    history = list(enumerate(iterate.losses))
    return SearchResult(table, history, velocity.evaluations, iterate.seconds, velocity.seconds)


def planned(velocity: Meter, batch: Batch, table: SolverTable, descent: Descent) -> Plan:
    """The plan that keeps the descent within its memory."""
    query = in_precision(velocity, descent.precision)
    kept = bytes_per_sample(query, batch, table.times[-1].detach())
    return fit(kept, len(batch.noise), table.nfe, descent.memory)


def backward(
    velocity: Meter, batch: Batch, iterate: Iterate, descent: Descent, plan: Plan
) -> float:
    """Give the coordinates their gradient, part by part; the loss."""
    total = 0.0
    query = recomputed(velocity) if plan.recompute else velocity
    query = in_precision(query, descent.precision)
    iterate.coordinates.grad = None
    for part in parts(batch, plan.parts):
        table, noise = iterate.table, part.noise
        states = [state for _, state in steps(query, table, noise, part.label)]
        loss = descent.objective(states, part, table).cpu() / plan.parts
        if not loss.isfinite():
            raise diverged(f"a loss of {loss.item()}", len(iterate.losses))
        with velocity.timed():
            iterate.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        velocity.evaluations += BACKWARD * velocity.evaluations_per_query * table.nfe * len(noise)
        total += loss.item()
    return total
