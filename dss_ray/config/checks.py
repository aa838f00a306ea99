"""Checks that every name in the settings of a sweep means something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dss_ray.api import load_solver
from dss_ray.config.space import SETTINGS, Dimension, finite_points, points
from dss_ray.config.sweep import SweepSettings
from dss_ray.errors import UsageError, require_known
from dss_ray.evaluation.demands import require_samples
from dss_ray.evaluation.judge import Judge
from dss_ray.models.guidance import guide
from dss_ray.models.zoo import check_model_name, load_model
from dss_ray.records.runs import RUNS, sweep_rows
from dss_ray.search.objective import parse_loss
from dss_ray.search.result import TARGETS, SearchSettings
from dss_ray.search.run import parse_chain
from dss_ray.search.space import SPACES
from dss_ray.solver.classical import CLASSICAL, usable
from dss_ray.solver.grids import make_grid


def check_names(settings: SweepSettings, load: bool) -> None:
    """Every model, method, grid, start and objective that the settings name exists.

    Models are loaded, unless files of theirs are not there.
    """
    for model in settings.models:
        located("models", check_model_name, model)
        if load:
            own = settings.evaluation
            fewest = min(own.counts[0], own.final_samples)
            located("models", check_model, own.judge(), fewest, model)
    for name in settings.baselines.methods:
        require_known("classical method", name, CLASSICAL, "baselines.methods")
    for dimension in settings.space():
        check = CHECKS.get(dimension.name)
        for value in dimension.choices if check else ():
            located(f"search.{dimension.name}", check, str(value))
        located(f"search.{dimension.name}", check_number, dimension)
        if dimension.name == "start":
            located("search.start", check_starts, dimension, nfe_values(settings, dimension))
    for name in settings.warm_start:
        located("warm_start", sweep_rows, RUNS, name)
    listed = finite_points(settings.space())
    if len(listed) == 1:
        raise UsageError(
            "search: the space has a single point; give a key a choice or a range, or run "
            "`dss-ray search`"
        )
    if settings.sampler == "grid" and not listed:
        raise UsageError(
            "sampler: a grid needs a finite space, of 100,000 points at most; give every range of "
            "search as a choice, or take another sampler"
        )
    check_baselines(settings)


def check_baselines(settings: SweepSettings) -> None:
    """Raise unless every step count has a method, and every grid exists."""
    own, nfes = settings.baselines, nfe_values(settings)
    for nfe in nfes:
        if not usable(own.methods, nfe):
            raise UsageError(
                f"baselines.methods: none of {', '.join(own.methods)} has a solver of {nfe} "
                "queries; add another, such as ab2"
            )
    for grid in own.grids:
        located("baselines.grids", make_grid, grid, max(nfes))


def nfe_values(settings: SweepSettings, dimension: Dimension | None = None) -> list[int]:
    """The step counts of a space; of those, the ones at which a dimension matters."""
    nfes = next(map(points, (one for one in settings.space() if one.name == "nfe")))
    allowed = dict(dimension.when).get("nfe") if dimension else None
    return [int(nfe) for nfe in nfes if allowed is None or nfe in allowed]


def check_starts(dimension: Dimension, nfes: Sequence[int]) -> None:
    """Raise unless each starting table exists and has the step count of every search."""
    for name in map(str, dimension.choices):
        if name in CLASSICAL:
            continue
        found = load_solver(name).table.nfe
        if set(nfes) != {found}:
            raise UsageError(
                f"'{name}' has {found} queries and the searches {', '.join(map(str, nfes))}; add "
                f"'when: {{nfe: {found}}}' to start"
            )


def check_grid(spec: str) -> None:
    """Raise unless ``spec`` is a grid or "auto"."""
    if spec != "auto":
        make_grid(spec, 2)


def check_model(judge: Judge, samples: int, name: str) -> None:
    """Raise unless the model has an extractor that knows the statistics and has enough samples."""
    guided = guide(load_model(name), 1.0)
    extractor = judge.extractor(guided)
    require_samples(f"FID with {extractor.name}", samples, extractor.dim)
    if judge.statistics:
        judge.reference(guided)


def check_number(dimension: Dimension) -> None:
    """Raise unless the ends of a numeric key are numbers that a search can work with."""
    for value in dimension.choices or (dimension.low, dimension.high):
        if dimension.name == "nfe":
            make_grid("uniform", int(value))
        elif dimension.name in SETTINGS and dimension.kind is not str:
            SearchSettings(**{dimension.name: dimension.kind(value)})


CHECKS: dict[str, Callable[[str], Any]] = {
    "method": parse_chain,
    "search_model": check_model_name,
    "grid": check_grid,
    "objective": lambda name: require_known("objective", name, TARGETS),
    "loss": parse_loss,
    "space": lambda name: require_known("space", name, ("auto", *SPACES)),
}


def located(place: str, check: Callable[..., Any] | None, *values: Any) -> None:
    """Run ``check`` and put the place before its complaint."""
    try:
        if check:
            check(*values)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None
