"""Search a solver for a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from dss_ray.bundle import Bundle, SearchProvenance, conventions_of, software_versions
from dss_ray.errors import UsageError
from dss_ray.evaluation.judge import Judge
from dss_ray.models.cache import cache_folder
from dss_ray.models.features import STEERING
from dss_ray.models.guidance import guide
from dss_ray.models.protocol import VelocityModel
from dss_ray.search.bures import FrechetTarget
from dss_ray.search.features import feature_map
from dss_ray.search.journal import FileJournal
from dss_ray.search.result import Progress, SearchSettings
from dss_ray.search.run import DEFAULT_METHOD, run_search
from dss_ray.solver.table import SolverTable


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
