"""Evaluate the best solvers of a sweep again, on fresh seeds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev

from dss_ray.api import DOMAIN
from dss_ray.bundle import load_bundle
from dss_ray.config.sweep import Evaluation, SweepSettings
from dss_ray.errors import DssError
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.evaluation.tally import EvaluationResult
from dss_ray.records.leaderboard import best_few
from dss_ray.records.rows import Row
from dss_ray.tune.loaded import judged_by
from dss_ray.tune.sharded import Shard, spread

log = logging.getLogger(__name__)


def finalists(rows: Iterable[Row], evaluation: Evaluation) -> list[Row]:
    """The best rows per model, NFE and kind that were not evaluated on the fresh seeds yet."""
    done = [row for row in rows if row.status == "done"]
    best = [
        row
        for model in sorted({row.model for row in done})
        for row in best_few([row for row in done if row.model == model], evaluation.finalists)
    ]
    return [row for row in best if len(row.fid_values) != len(evaluation.final_seeds)]


def evaluate_finalists(
    rows: Sequence[Row],
    folder: Path,
    settings: SweepSettings,
    done: Callable[[Row, float], None],
) -> None:
    """Evaluate ``rows`` over the final seeds.

    Args:
        rows: the finalists.
        folder: of the sweep, where their bundles lie.
        settings: with the final sample count and seeds, and the resources of a chunk.
        done: called with each final row and the processor seconds its network took.
    """
    judge = settings.evaluation.judge()
    seeds, count = settings.evaluation.final_seeds, settings.evaluation.final_samples
    shards = [
        Shard(
            model=row.model,
            guidance=row.guidance,
            table=load_bundle(folder / str(row.bundle)).table.to_json(),
            plan=EvaluationPlan(count, seed, DOMAIN),
            metrics=("fid",),
            judge=judge,
            device=settings.resources.device,
        )
        for row in rows
        for seed in seeds
    ]
    parts = dict[int, EvaluationResult]()
    for number, tally in spread(shards, settings.resources):
        row = number // len(seeds)
        if isinstance(tally, DssError):
            log.warning("%s keeps its figures of the selection: %s", rows[row].solver, tally)
            continue
        parts[number] = tally.result(judged_by(rows[row].model, judge)[1])
        own = range(row * len(seeds), (row + 1) * len(seeds))
        if all(index in parts for index in own):
            done(*final_row(rows[row], seeds, [parts[index] for index in own]))


def final_row(
    row: Row, seeds: Sequence[int], results: Sequence[EvaluationResult]
) -> tuple[Row, float]:
    """``row`` with its figures on the fresh seeds, and the processor seconds they took."""
    values = [float(result.fid) for result in results if result.fid is not None]
    update = {
        "fid": fmean(values),
        "fid_spread": stdev(values),
        "fid_values": values,
        "selection_fid": row.fid,
        "samples": results[0].samples,
        "seeds": list(seeds),
        "sampling_evaluations": (row.sampling_evaluations or 0)
        + sum(result.evaluations for result in results),
        "final": True,
    }
    return row.model_copy(update=update), sum(result.network_seconds for result in results)
