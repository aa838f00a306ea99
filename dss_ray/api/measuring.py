"""The figures of a solver on a model, over evaluation seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dss_ray.api.fitting import DOMAIN, guide_by, span
from dss_ray.bundle import Bundle
from dss_ray.errors import require_known
from dss_ray.evaluation.chunk import ChunkResult, evaluate_chunk
from dss_ray.evaluation.demands import fulfilled
from dss_ray.evaluation.figures import METRICS, Figure, figures, need_extractor, need_vectors
from dss_ray.evaluation.judge import Judge
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.evaluation.tally import EvaluationResult, Tally
from dss_ray.models.features import Extractor
from dss_ray.models.guidance import GuidedModel, one_flow
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.teacher import Teacher
from dss_ray.solver.table import SolverTable


@dataclass(frozen=True)
class Evaluated:
    """The figures of a solver over evaluation seeds.

    Args:
        nfe: queries of the solver.
        metrics: by name, each with mean, spread and the values per seed.
        features: the extractor that all but "rmse" were measured with.
    """

    nfe: int
    metrics: dict[str, Figure]
    features: str | None


def evaluate(
    solver: Bundle,
    model: VelocityModel,
    *,
    samples: int = 2000,
    seeds: Sequence[int] = (0, 1, 2),
    metrics: Sequence[str] = ("fid", "rmse"),
    judge: Judge = Judge(),  # noqa: B008 - frozen
    progress: Callable[[int, int], None] | None = None,
) -> Evaluated:
    """Measure ``solver`` on ``model`` over evaluation seeds, which no search has seen.

    Args:
        solver: the table and the guidance to sample with.
        model: on which model.
        samples: per seed.
        seeds: of the evaluation's noises.
        metrics: of "fid", "sfid", "inception_score", "precision", "recall" and "rmse" (to the
            converged reference).
        judge: extractor and statistics of all but "rmse"; the model's own by default.
        progress: called with the samples drawn and those in all.

    Raises:
        UsageError: if a metric is unknown, or the extractor, its statistics or the number of
            samples do not serve it.
    """
    for metric in metrics:
        require_known("metric", metric, METRICS)
    guided = guide_by(solver, model)
    reference = judge.reference(guided[0]) if need_extractor(metrics) else None
    extractor = judge.extractor(guided[0]) if reference else None
    if reference and extractor:
        reference = fulfilled(metrics, samples, extractor, reference)
    results = list[EvaluationResult]()
    for number, seed in enumerate(seeds):
        plan, tally = EvaluationPlan(samples, seed, DOMAIN), Tally()
        for chunk in plan:
            part = evaluate_part(
                guided, solver.table, plan, chunk.index, metrics=metrics, extractor=extractor
            )
            tally.add(part)
            if progress:
                progress(number * samples + tally.samples, len(seeds) * samples)
        results.append(tally.result(reference))
    return summary(solver, metrics, results)


def summary(
    solver: Bundle, metrics: Sequence[str], results: Sequence[EvaluationResult]
) -> Evaluated:
    """The figures that were asked for."""
    found = figures(results)
    chosen = {name: found[name] for name in metrics}
    return Evaluated(solver.table.nfe, chosen, results[0].features)


def evaluate_part(
    guided: Sequence[GuidedModel],
    table: SolverTable,
    plan: EvaluationPlan,
    index: int,
    *,
    metrics: Sequence[str],
    extractor: Extractor | None,
) -> ChunkResult:
    """One chunk of an evaluation, with its own part of the converged reference.

    Raises:
        UsageError: if rmse is asked for although ``guided``, one per query, differ in scale.
    """
    chunk, ends = plan[index], None
    known = min(chunk.count, plan.rmse_samples - chunk.first)
    if "rmse" in metrics and known > 0:
        teacher = Teacher(one_flow(guided), plan.domain, plan.seed, span(table))
        ends = teacher.ends(chunk.first, known)
    return evaluate_chunk(
        guided,
        table,
        plan,
        index,
        extractor=extractor,
        keep_features=need_vectors(metrics),
        keep_spatial="sfid" in metrics,
        keep_logits="inception_score" in metrics,
        reference_end=ends,
    )
