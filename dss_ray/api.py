"""The verbs of the package as functions: load, search, sample, evaluate."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from dss_ray.bundle import (
    Bundle,
    SearchProvenance,
    conventions_of,
    load_bundle,
    software_versions,
)
from dss_ray.errors import UsageError, require_known, unknown
from dss_ray.evaluation.chunk import ChunkResult, evaluate_chunk
from dss_ray.evaluation.demands import fulfilled
from dss_ray.evaluation.figures import METRICS, Figure, figures, need_extractor, need_vectors
from dss_ray.evaluation.images import decoded
from dss_ray.evaluation.judge import Judge
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.evaluation.tally import EvaluationResult, Tally
from dss_ray.models.cache import cache_folder
from dss_ray.models.features import STEERING, Extractor
from dss_ray.models.guidance import GuidedModel, guide, guide_steps, one_flow
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.teacher import Teacher
from dss_ray.models.zoo import load_model
from dss_ray.search.bures import FrechetTarget
from dss_ray.search.features import feature_map
from dss_ray.search.journal import FileJournal
from dss_ray.search.result import Progress, SearchSettings
from dss_ray.search.run import DEFAULT_METHOD, run_search
from dss_ray.solver.classical import CLASSICAL, classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.published import published_names, published_table
from dss_ray.solver.sampling import sample as sample_table
from dss_ray.solver.table import TOLERANCE, SolverTable

__all__ = ["evaluate", "load_model", "load_solver", "sample", "search"]

log = logging.getLogger(__name__)
DOMAIN = "evaluation"  # of the noises on which solvers are measured and drawn


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


def load_solver(
    source: str | Path,
    nfe: int | None = None,
    grid: str = "uniform",
    guidance: float | tuple[float, ...] = 1.0,
    *,
    model: VelocityModel | None = None,
    edited: bool = False,
) -> Bundle:
    """A solver from a bundle file, or a classical or published one by its name.

    Args:
        source: path of a bundle, or a name such as ``ab2`` or ``flow-sit-8``.
        nfe: number of queries of a classical solver; the others have their own.
        grid: time grid of a classical solver.
        guidance: scale to sample a named solver with, or one per query; a bundle has its own.
        model: that it is for: a classical solver covers its time range, 0 to 1 without one, and a
            bundle that was searched on another one is loaded with a warning.
        edited: take also a bundle that was changed by hand, without its figures.

    Raises:
        UsageError: if the name is unknown, the file is no bundle, or nfe is missing or another one.
    """
    name = str(source)
    if name in CLASSICAL:
        if nfe is None:
            raise UsageError(
                f"solver '{name}': a classical solver needs the number of steps, --nfe"
            )
        ends = (model.t_min, model.t_max) if model else (0.0, 1.0)
        return named_bundle(name, classical_table(name, make_grid(grid, nfe, *ends)), guidance)
    if name in published_names():
        bundle = named_bundle(name, published_table(name), guidance)
    elif Path(name).exists() or Path(name).suffix == ".json":
        bundle = load_bundle(Path(name), edited=edited)
        if model and bundle.model_fingerprint not in ("", model.fingerprint):
            log.warning(
                "%s: searched on %s (weights %.8s), not on %s (weights %.8s) as it is used here: "
                "what it gained there, and its figures, need not hold; `dss-ray evaluate` measures "
                "it, and --model takes the other one",
                *(name, bundle.model, bundle.model_fingerprint, model.name, model.fingerprint),
            )
    else:
        raise unknown("solver", name, [*CLASSICAL, *published_names(), "a bundle file"])
    if nfe not in (None, bundle.table.nfe):
        raise UsageError(f"solver '{name}' makes {bundle.table.nfe} queries, but --nfe is {nfe}")
    return bundle


def named_bundle(name: str, table: SolverTable, guidance: float | tuple[float, ...]) -> Bundle:
    """A table that was not searched, as a bundle for any model."""
    return Bundle(
        name=name,
        table=table,
        guidance=guidance,
        model="",
        model_fingerprint="",
        search=None,
        metrics={},
        versions=software_versions(),
        created=datetime.now(UTC),
    )


def search(
    model: VelocityModel,
    nfe: int,
    *,
    method: str = DEFAULT_METHOD,
    guidance: float = 1.0,
    grid: str = "auto",
    start: str | SolverTable = "ab2",
    settings: SearchSettings | None = None,
    resume: bool = False,
    keep: Callable[[Bundle], object] | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Search a solver of ``nfe`` queries for ``model``; see ``dss_ray.search.run.run_search``.

    With ``resume`` the state is kept in the cache folder while the search runs, and the same call
    goes on after an interruption; ``keep`` is called with the bundle before that state goes.
    """
    settings = settings or SearchSettings()
    steer = frechet_target(model, settings) if "frechet" in method.split("+") else None
    journal = None
    if resume:
        begun = start.to_json() if isinstance(start, SolverTable) else start
        asked = nfe, method, guidance, grid, begun, asdict(settings), software_versions()
        journal = search_journal(model, steer, asked)
    found = run_search(
        model,
        nfe,
        method=method,
        guidance=guidance,
        grid=grid,
        start=start,
        settings=settings,
        steer=steer,
        journal=journal,
        progress=progress,
    )
    provenance = SearchProvenance(
        method=method,
        grid=found.grid,
        start=start if isinstance(start, str) else "given",
        seed=settings.seed,
        samples=max(settings.enough(nfe, stage) for stage in method.split("+")),
        settings=asdict(settings),
        evaluations=found.evaluations,
        seconds=found.seconds,
        reference_evaluations=found.reference_evaluations,
        reference_seconds=found.reference_seconds,
        history={stage: tuple(points) for stage, points in found.history.items()},
    )
    bundle = Bundle(
        name=f"{method}-{nfe}",
        table=found.table,
        guidance=found.guidance,
        model=model.name,
        model_fingerprint=model.fingerprint,
        conventions=conventions_of(model, found.table),
        search=provenance,
        metrics={},
        versions=software_versions(),
        created=datetime.now(UTC),
    )
    if keep:
        keep(bundle)
    if journal:
        journal.remove()
    return bundle


def search_journal(
    model: VelocityModel, steer: FrechetTarget | None, asked: Sequence[object]
) -> FileJournal:
    """The journal of a search by all that decides what it does, in the cache folder."""
    shape = model.sample_shape, model.num_classes, model.t_min, model.t_max
    statistics = [*steer.mean.tolist(), *steer.covariance.flatten().tolist()] if steer else None
    what = model.fingerprint, shape, str(getattr(model, "features", None)), statistics, *asked
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
    return FileJournal(cache_folder() / f"search-{key}.safetensors", key)


def frechet_target(model: VelocityModel, settings: SearchSettings) -> FrechetTarget:
    """What the method ``frechet`` makes the samples of ``model`` like.

    The extractor is that of the settings, or else another one than judges the model: what steers
    must not judge.

    Raises:
        UsageError: if there is no such extractor.
    """
    judge = getattr(model, "features", None)
    name = settings.features or STEERING.get(str(judge))
    if name is None:
        raise UsageError(
            f"search method 'frechet': {model.name} needs an extractor to steer by, better another "
            f"one than judges it ({judge}): name it as the setting features"
        )
    guided = guide(model, 1.0)
    statistics = Judge(name, settings.statistics).reference(guided).statistics
    features = feature_map(guided, name)
    assert features is not None
    return FrechetTarget(features, statistics.mean, statistics.covariance)


def sample(
    solver: Bundle,
    model: VelocityModel,
    count: int = 10,
    seed: int = 0,
    labels: Sequence[int] | None = None,
) -> Tensor:
    """Images (count, C, H, W) in [0, 1] that ``solver`` draws from ``model``, label after label.

    Args:
        solver: the table and the guidance to sample with.
        model: the model, maybe unconditional.
        count: of images.
        seed: of their noises.
        labels: one for each image, which says their count too; an unconditional model has no use
            for them.

    Raises:
        UsageError: if the solver does not fit the model, or a label is none of its.
    """
    guided = guide_by(solver, model)
    count = count if labels is None else len(labels)
    noise, label = Teacher(guided[0], DOMAIN, seed, span(solver.table)).noise(0, count)
    if labels is not None and label is not None:
        label = checked_labels(labels, model).to(label)
    with torch.no_grad():
        return decoded(model, sample_table(guided, solver.table, noise, label)).cpu() / 255


def checked_labels(labels: Sequence[int], model: VelocityModel) -> Tensor:
    """The labels as a tensor (n,); the null label is one of them."""
    wrong = [label for label in labels if not 0 <= label <= (model.num_classes or 0)]
    if wrong:
        raise UsageError(
            f"label {wrong[0]}: {model.name} has labels from 0 to {model.num_classes}, the last "
            "being that of no class"
        )
    return torch.tensor(labels, dtype=torch.long)


def teacher_images(
    model: VelocityModel, guidance: float | Sequence[float], count: int, seed: int = 0
) -> Tensor:
    """Images (count, C, H, W) in [0, 1] of the converged reference on the noises of ``sample``.

    Raises:
        UsageError: if ``guidance`` differs between steps.
    """
    scales = guidance if isinstance(guidance, Sequence) else [guidance]
    guided = one_flow(guide_steps(model, scales, len(scales)))
    return decoded(guided, Teacher(guided, DOMAIN, seed).ends(0, count)).cpu() / 255


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


def guide_by(solver: Bundle, model: VelocityModel) -> tuple[GuidedModel, ...]:
    """``model`` for each query under the guidance that ``solver`` was made for."""
    first, last = float(solver.table.times[0]), float(solver.table.times[-1])
    if first < model.t_min - TOLERANCE or last > model.t_max + TOLERANCE:
        raise UsageError(
            f"solver '{solver.name}' asks for times from {first:g} to {last:g}, but {model.name} "
            f"knows {model.t_min:g} to {model.t_max:g}; take another solver"
        )
    return guide_steps(model, solver.guidance, solver.table.nfe)


def span(table: SolverTable) -> tuple[float, float]:
    """The first and the last knot."""
    return float(table.knots[0]), float(table.knots[-1])
