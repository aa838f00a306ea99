"""Evaluations cut into chunks that run wherever the cluster has room."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dss_ray.api import DOMAIN, Evaluated, evaluate_part, summary
from dss_ray.bundle import Bundle
from dss_ray.config.sweep import Resources
from dss_ray.errors import DssError
from dss_ray.evaluation.chunk import ChunkResult
from dss_ray.evaluation.demands import fulfilled
from dss_ray.evaluation.figures import need_extractor
from dss_ray.evaluation.judge import Judge
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.evaluation.tally import EvaluationResult, Tally
from dss_ray.models.guidance import guide_steps
from dss_ray.solver.table import SolverTable
from dss_ray.tune.cluster import connect, enter, nodes_now, room, use_assigned_cpus
from dss_ray.tune.loaded import judged_by, load

TOGETHER = 4  # chunks of a task at most
SHARES = 8  # tasks that each worker gets at least, if there are chunks enough
BACKLOG = 2  # tasks handed out for each that can run
HELD = 100  # chunks at most that wait for an earlier one: 3 GB of Inception's statistics
LOSSES = 5  # times that a task may lose its worker or its node


@dataclass(frozen=True)
class Shard:
    """One evaluation to cut into chunks: a solver on a model at one seed.

    Args:
        model: name of the model, which each worker loads for itself.
        guidance: scale, or one per query.
        table: the solver as JSON.
        plan: the samples.
        metrics: of ``METRICS``.
        judge: extractor and statistics of all but "rmse".
        device: where the model goes.
        folder: that relative paths start from.
    """

    model: str
    guidance: float | tuple[float, ...]
    table: dict[str, Any]
    plan: EvaluationPlan
    metrics: tuple[str, ...]
    judge: Judge
    device: str = "cpu"
    folder: str = field(default_factory=os.getcwd)


def spread(
    shards: Sequence[Shard], resources: Resources, progress: Callable[[int], None] | None = None
) -> Iterator[tuple[int, Tally | DssError]]:
    """Evaluate ``shards`` on the connected cluster, whose nodes may come and go.

    What a lost worker was at is computed again elsewhere. No more work is handed out than keeps all
    workers busy, and none while many results wait for an earlier one to be merged.

    Args:
        shards: what to evaluate.
        resources: of a task.
        progress: called with the samples that each finished task has drawn.

    Yields:
        The number of a shard whose chunks are all done, and their figures, or why one of them
        failed; in order of completion.
    """
    import ray

    remote = ray.remote(run_chunks).options(
        num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=LOSSES
    )
    tasks = deque(pieces(shards, slots(resources)))
    tallies, failed, running = [Tally() for _ in shards], set[int](), dict[Any, int]()
    while tasks or running:
        most, held = BACKLOG * slots(resources), sum(len(tally.waiting) for tally in tallies)
        while tasks and (not running or (len(running) < most and held < HELD)):
            number, indices = tasks.popleft()
            if number not in failed:
                running[remote.remote(shards[number], indices)] = number
        if not running:
            return
        (ready, *_), _ = ray.wait(list(running), num_returns=1)
        number = running.pop(ready)
        try:
            chunks = ray.get(ready)
        except ray.exceptions.RayError as error:
            if number not in failed:
                yield number, failure(error)
            failed.add(number)
            tallies[number] = Tally()
            continue
        for chunk in chunks if number not in failed else ():
            tallies[number].add(chunk)
        if progress:
            progress(sum(chunk.samples for chunk in chunks))
        if tallies[number].merged == len(shards[number].plan):
            yield number, tallies[number]
            tallies[number] = Tally()  # its features are large


def pieces(shards: Sequence[Shard], workers: int) -> Iterator[tuple[int, range]]:
    """The number of a shard and some of its chunks, one shard after the other.

    Fewer tasks cost less, more of them keep all workers busy to the end.
    """
    chunks = sum(len(shard.plan) for shard in shards)
    together = max(1, min(TOGETHER, chunks // (SHARES * workers)))
    for number, shard in enumerate(shards):
        whole = range(len(shard.plan))
        yield from ((number, whole[first : first + together]) for first in whole[::together])


def slots(resources: Resources) -> int:
    """How many tasks the cluster runs at once just now, at least one."""
    return max(1, room(nodes_now(), resources))


def failure(error: Exception) -> DssError:
    """What went wrong on a worker, without the worker's traceback."""
    cause = getattr(error, "cause", None) or error
    first = str(cause).strip().partition("\n")[0]
    return DssError(f"an evaluation failed on a worker: {type(cause).__name__}: {first}")


def run_chunks(shard: Shard, indices: range) -> list[ChunkResult]:
    """Some chunks on a worker, which keeps the model between tasks."""
    enter(shard.folder)
    use_assigned_cpus()
    table = SolverTable.from_json(shard.table)
    guided = guide_steps(load(shard.model, shard.device), shard.guidance, table.nfe)
    judged = need_extractor(shard.metrics)
    extractor = judged_by(shard.model, shard.judge)[0] if judged else None
    return [
        evaluate_part(guided, table, shard.plan, index, metrics=shard.metrics, extractor=extractor)
        for index in indices
    ]


def evaluate_on_cluster(
    solver: Bundle,
    model: str,
    *,
    samples: int,
    seeds: Sequence[int],
    metrics: Sequence[str],
    judge: Judge,
    address: str,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluated:
    """``dss_ray.api.evaluate`` with its chunks spread over a Ray cluster; the same figures.

    Where the cluster has GPUs, each task takes one. ``progress`` is called with the samples drawn
    and those in all.

    Raises:
        UsageError: if the cluster cannot be reached.
        DssError: if a chunk fails.
    """
    reference = None
    if need_extractor(metrics):
        reference = fulfilled(metrics, samples, *judged_by(model, judge))
    connect(address, Resources())
    import ray

    try:
        resources = Resources(gpus=1.0 if room(nodes_now(), Resources(gpus=1.0)) else 0.0)
        shards = [
            Shard(
                model=model,
                guidance=solver.guidance,
                table=solver.table.to_json(),
                plan=EvaluationPlan(samples, seed, DOMAIN),
                metrics=tuple(metrics),
                judge=judge,
                device=resources.device,
            )
            for seed in seeds
        ]
        drawn, found = 0, dict[int, EvaluationResult]()

        def count(more: int) -> None:
            nonlocal drawn
            drawn += more
            if progress:
                progress(drawn, samples * len(seeds))

        for number, tally in spread(shards, resources, count):
            if isinstance(tally, DssError):
                raise tally
            found[number] = tally.result(reference)
    finally:
        ray.shutdown()
    return summary(solver, metrics, [found[number] for number in range(len(shards))])
