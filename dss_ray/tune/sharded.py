"""Evaluations cut into chunks that run wherever the cluster has room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dss_ray.api import DOMAIN, Evaluated, evaluate_part, summary
from dss_ray.bundle import Bundle
from dss_ray.config.sweep import Resources
from dss_ray.errors import DssError
from dss_ray.evaluation.chunk import ChunkResult
from dss_ray.evaluation.demands import fulfilled
from dss_ray.evaluation.evaluate import combine
from dss_ray.evaluation.figures import need_extractor
from dss_ray.evaluation.judge import Judge
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.models.guidance import guide_steps
from dss_ray.solver.table import SolverTable
from dss_ray.tune.cluster import connect, use_assigned_cpus
from dss_ray.tune.loaded import judged_by, load

TOGETHER = 4  # chunks of a task: fewer tasks keep the workers busier, more fill more of them


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
    """

    model: str
    guidance: float | tuple[float, ...]
    table: dict[str, Any]
    plan: EvaluationPlan
    metrics: tuple[str, ...]
    judge: Judge
    device: str = "cpu"


def spread(
    shards: Sequence[Shard], resources: Resources
) -> Iterator[tuple[int, list[ChunkResult] | DssError]]:
    """Evaluate ``shards`` on the connected cluster.

    Yields:
        The number of a shard whose chunks are all done, and the chunks, or why one of them failed;
        in order of completion.
    """
    import ray

    remote = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus)(run_chunks)
    waiting = {
        remote.remote(shard, range(len(shard.plan))[first : first + TOGETHER]): number
        for number, shard in enumerate(shards)
        for first in range(0, len(shard.plan), TOGETHER)
    }
    parts: list[list[ChunkResult]] = [[] for _ in shards]
    while waiting:
        (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
        number = waiting.pop(ready)
        try:
            parts[number] += ray.get(ready)
        except ray.exceptions.RayError as error:
            yield number, failure(error)
        if len(parts[number]) == len(shards[number].plan):
            yield number, parts[number]


def failure(error: Exception) -> DssError:
    """What went wrong on a worker, without the worker's traceback."""
    cause = getattr(error, "cause", None) or error
    first = str(cause).strip().partition("\n")[0]
    return DssError(f"an evaluation failed on a worker: {type(cause).__name__}: {first}")


def run_chunks(shard: Shard, indices: range) -> list[ChunkResult]:
    """Some chunks on a worker, which keeps the model between tasks."""
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
) -> Evaluated:
    """``dss_ray.api.evaluate`` with its chunks spread over a Ray cluster; the same figures.

    Raises:
        UsageError: if the cluster cannot be reached.
    """
    reference = None
    if need_extractor(metrics):
        reference = fulfilled(metrics, samples, *judged_by(model, judge))
    shards = [
        Shard(
            model=model,
            guidance=solver.guidance,
            table=solver.table.to_json(),
            plan=EvaluationPlan(samples, seed, DOMAIN),
            metrics=tuple(metrics),
            judge=judge,
        )
        for seed in seeds
    ]
    connect(address, Resources())
    import ray

    try:
        done = dict[int, list[ChunkResult]]()
        for number, chunks in spread(shards, Resources()):
            if isinstance(chunks, DssError):
                raise chunks
            done[number] = chunks
    finally:
        ray.shutdown()
    results = [combine(done[number], reference) for number in range(len(shards))]
    return summary(solver, metrics, results)
