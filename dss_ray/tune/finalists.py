"""Evaluate the best solvers again on fresh seeds, in chunks spread over the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from dss_ray.bundle import load_bundle
from dss_ray.config.sweep import Evaluation, SweepSettings
from dss_ray.evaluation.evaluate import ChunkResult, combine, evaluate_chunk
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.models.guidance import guide
from dss_ray.records.leaderboard import best_of_each
from dss_ray.records.rows import Row
from dss_ray.solver.table import SolverTable
from dss_ray.tune.cluster import use_assigned_cpus
from dss_ray.tune.job import judged_by, load


def finalists(rows: Iterable[Row], evaluation: Evaluation) -> list[Row]:
    """The best row per model, NFE and kind that has not been evaluated on the fresh seeds yet."""
    done = [row for row in rows if row.status == "done"]
    best = [
        row
        for model in sorted({row.model for row in done})
        for row in best_of_each([row for row in done if row.model == model])
    ]
    return [row for row in best if len(row.fid_values) != len(evaluation.final_seeds)]


def evaluate_finalists(
    rows: Sequence[Row],
    folder: Path,
    settings: SweepSettings,
    done: Callable[[Row, float], None],
) -> None:
    """Evaluate ``rows`` over the final seeds; chunks run wherever the cluster has room.

    Args:
        rows: the finalists.
        folder: of the sweep, where their bundles lie.
        settings: with the final sample count and seeds, and the resources of a chunk.
        done: called with each final row and the processor seconds its network took.
    """
    import ray

    resources, evaluation = settings.resources, settings.evaluation
    remote = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus)(final_chunk)
    plans = [
        EvaluationPlan(evaluation.final_samples, seed, "evaluation")
        for seed in evaluation.final_seeds
    ]
    waiting: dict[Any, tuple[int, int]] = {}
    for number, row in enumerate(rows):
        table = load_bundle(folder / str(row.bundle)).table.to_json()
        for seed, plan in enumerate(plans):
            for index in range(len(plan)):
                task = remote.remote(row.model, row.guidance, table, plan, index)
                waiting[task] = number, seed
    parts: list[list[list[ChunkResult]]] = [[[] for _ in plans] for _ in rows]
    while waiting:
        (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
        number, seed = waiting.pop(ready)
        parts[number][seed].append(ray.get(ready))
        if sum(map(len, parts[number])) == sum(map(len, plans)):
            done(*final_row(rows[number], parts[number]))


def final_chunk(
    model: str, guidance: float, table: dict[str, Any], plan: EvaluationPlan, index: int
) -> ChunkResult:
    """One chunk on a worker, which keeps the model between chunks."""
    use_assigned_cpus()
    extractor, _ = judged_by(model)
    solver = SolverTable.from_json(table)
    return evaluate_chunk(guide(load(model), guidance), solver, plan, index, extractor=extractor)


def final_row(row: Row, parts: Sequence[Sequence[ChunkResult]]) -> tuple[Row, float]:
    """``row`` with its figures on the fresh seeds, and the processor seconds they took."""
    _, reference = judged_by(row.model)
    results = [combine(chunks, reference) for chunks in parts]
    values = [float(result.fid) for result in results if result.fid is not None]
    update = {
        "fid": fmean(values),
        "fid_spread": stdev(values),
        "fid_values": values,
        "selection_fid": row.fid,
        "samples": results[0].samples,
        "final": True,
    }
    return row.model_copy(update=update), sum(result.network_seconds for result in results)
