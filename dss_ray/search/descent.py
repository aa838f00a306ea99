"""Descend through the differentiated loop, whatever the recipe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from dss_ray.models.meter import BACKWARD, Meter
from dss_ray.search.activations import Plan, parts, plan
from dss_ray.search.adjoint import lean_steps
from dss_ray.search.iterate import Iterate, OptimizerOf, diverged
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
        scaled: whether the loss is scaled, as gradients in float16 need it.
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
    scaled: bool = False

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
    iterate = Iterate(space, descent.optimizer, descent.scaled)
    kept = journal.read(descent.stage) if journal else None
    work, how = partial(gradient_of, velocity, iterate, descent), None
    if kept:
        iterate.restore(kept, velocity)
        how = Plan.of(kept["plan"])
    written = time.perf_counter()
    for iteration in range(len(iterate.losses), descent.iterations):
        batch = reference.batch(iteration, descent.batch_size)
        began = time.perf_counter()
        how = how or plan(work, batch, descent.memory)
        iterate.losses.append(work(batch, how))
        iterate.step(descent.rate(iteration), descent.clip, descent.ema)
        iterate.seconds += time.perf_counter() - began
        last = iteration + 1 == descent.iterations
        if journal and (last or time.perf_counter() - written > JOURNAL_SECONDS):
            state = iterate.tensors(velocity) | {"plan": how.tensor}
            journal.write(descent.stage, state)
            written = time.perf_counter()
    with torch.no_grad():
        table = iterate.table_at(iterate.average)
    history = list(enumerate(iterate.losses))
    return SearchResult(table, history, velocity.evaluations, iterate.seconds, velocity.seconds)


def gradient_of(
    velocity: Meter, iterate: Iterate, descent: Descent, batch: Batch, how: Plan
) -> float:
    """Give the coordinates their gradient on ``batch``, part by part; the loss there."""
    total, calls = 0.0, BACKWARD * velocity.evaluations_per_query
    iterate.coordinates.grad = None
    for part in parts(batch, how.parts):
        table, noise = iterate.table, part.noise
        if how.recompute:
            states = list(lean_steps(velocity, table, part))
        else:
            states = [state for _, state in steps(velocity, table, noise, part.label)]
        loss = descent.objective(states, part, table).cpu() / how.parts
        if not loss.isfinite():
            raise diverged(f"a loss of {loss.item()}", len(iterate.losses))
        with velocity.timed():
            iterate.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        velocity.evaluations += calls * table.nfe * len(noise)
        total += loss.item()
    return total
