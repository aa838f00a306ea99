"""The settings of a sweep, read from a YAML file and checked whole before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dss_ray.config.space import SETTINGS, Dimension, parse_space
from dss_ray.errors import FileError, UsageError, require_known, unknown
from dss_ray.evaluation.demands import require_samples
from dss_ray.evaluation.judge import Judge
from dss_ray.models.guidance import guide
from dss_ray.models.zoo import load_model
from dss_ray.search.objective import parse_loss
from dss_ray.search.result import TARGETS, SearchSettings
from dss_ray.search.run import parse_chain
from dss_ray.search.space import SPACES
from dss_ray.solver.classical import CLASSICAL
from dss_ray.solver.grids import make_grid

Seed = Annotated[int, Field(ge=0)]  # negative ones are the teacher's own
Count = Annotated[int, Field(ge=1)]


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """``values``, none of them twice."""
    if len(set(values)) < len(values):
        raise ValueError("each should be given once")
    return values


class Frozen(BaseModel):
    """Settings that cannot change and know no foreign keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Resources(Frozen):
    """What one trial takes of the cluster; a fraction of a GPU lets trials share it."""

    cpus: Annotated[int, Field(ge=1)] = 1
    gpus: Annotated[float, Field(ge=0)] = 0.0

    @property
    def device(self) -> str:
        """Where a trial's model goes: Ray shows a trial only the GPU it was given."""
        return "cuda" if self.gpus else "cpu"


class Evaluation(Frozen):
    """How solvers are judged: trials on the selection seed, finalists on the evaluation seeds.

    ``features`` and ``statistics`` replace the model's own extractor and reference statistics.
    """

    samples: Annotated[int, Field(ge=16)] = 2000
    seed: Seed = 0
    final_samples: Annotated[int, Field(ge=16)] = 2000
    features: str | None = None
    statistics: str | None = None
    final_seeds: Annotated[tuple[Seed, ...], Field(min_length=2), AfterValidator(distinct)] = (
        0,
        1,
        2,
    )

    def judge(self) -> Judge:
        """Extractor and statistics."""
        statistics = self.statistics and str(Path(self.statistics).resolve())
        return Judge(self.features, statistics)


class Baselines(Frozen):
    """Classical solvers, screened by rmse over methods and grids; the best are evaluated."""

    methods: Annotated[tuple[str, ...], Field(min_length=1)]
    grids: Annotated[tuple[str, ...], Field(min_length=1)]
    samples: Count = 16
    keep: Count = 2


class SweepSettings(Frozen):
    """All of a sweep.

    Attributes:
        name: names the folder ``runs/NAME`` and the experiment's parent run.
        models: the models to evaluate on; each has its own study and front.
        trials: budget of searched trials per model.
        time_budget: seconds after which no further trial starts; None for no limit.
        concurrency: trials at once; None for as many as the cluster holds.
        seed: of the sampler that chooses the trials.
        resources: of one trial.
        evaluation: sample counts and seeds.
        baselines: what the searched solvers are compared with.
        search: the space.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    models: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)]
    trials: Count = 50
    time_budget: Annotated[float, Field(gt=0)] | None = None
    concurrency: Count | None = None
    seed: int = 0
    resources: Resources = Resources()
    evaluation: Evaluation = Evaluation()
    baselines: Baselines
    search: dict[str, Any]

    def space(self) -> tuple[Dimension, ...]:
        """The dimensions of ``search``."""
        return parse_space(self.search, "search")


def space_names() -> list[str]:
    """The search spaces that ship with the package."""
    folder = resources.files("dss_ray.search_spaces")
    return sorted(Path(item.name).stem for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_sweep(source: str, overrides: dict[str, Any] | None = None) -> SweepSettings:
    """The settings of a YAML file, or of a shipped space named without ``.yaml``.

    Args:
        source: path or name.
        overrides: dotted keys and the values that replace the file's.

    Raises:
        UsageError: that names file, place, what was found, what is possible and the nearest match.
    """
    text, stem = read_space(source)
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date like 2024-99-99 too
        raise FileError(f"{source}: no valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(document, dict):
        raise FileError(f"{source}: expected a mapping of settings, got {type(document).__name__}")
    document.setdefault("name", stem)
    for key, value in (overrides or {}).items():
        override(document, key, value, source)
    try:
        settings = SweepSettings.model_validate(document)
        check_names(settings)
    except ValidationError as error:
        raise describe(error, source) from None
    except UsageError as error:
        raise type(error)(f"{source}: {error}") from None
    return settings


def read_space(source: str) -> tuple[str, str]:
    """The text and the stem of a file or a shipped space."""
    path = Path(source)
    if path.suffix in (".yaml", ".yml") or path.exists():
        try:
            return path.read_text(), path.stem
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(f"{source}: cannot be read as a search space ({error})") from None
    if source not in space_names():
        raise unknown("search space", source, space_names())
    return resources.files("dss_ray.search_spaces").joinpath(f"{source}.yaml").read_text(), source


def override(document: dict[str, Any], key: str, value: Any, source: str) -> None:
    """Set the dotted ``key`` of ``document``; the last part may be new, the way to it not."""
    *way, last = key.split(".")
    place: Any = document
    for part in way:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise UsageError(f"{source}: cannot set '{key}': '{part}' is no mapping")
    place[last] = value


def check_names(settings: SweepSettings) -> None:
    """Every model, method, grid, start and objective that the settings name exists."""
    for model in settings.models:
        located("models", check_model, settings, model)
    for name in settings.baselines.methods:
        require_known("classical method", name, CLASSICAL, "baselines.methods")
    for dimension in settings.space():
        check = CHECKS.get(dimension.name)
        for value in dimension.choices if check else ():
            located(f"search.{dimension.name}", check, str(value))
        located(f"search.{dimension.name}", check_number, dimension)
    for grid in settings.baselines.grids:
        located("baselines.grids", make_grid, grid, max(nfes(settings)))


def nfes(settings: SweepSettings) -> list[int]:
    """The least and the largest NFE of the space."""
    nfe = next(dimension for dimension in settings.space() if dimension.name == "nfe")
    return [int(value) for value in nfe.choices or (nfe.low, nfe.high)]


def check_grid(spec: str) -> None:
    """Raise unless ``spec`` is a grid or "auto"."""
    if spec != "auto":
        make_grid(spec, 2)


def check_model(settings: SweepSettings, name: str) -> None:
    """Raise unless the model has an extractor that knows the statistics and has enough samples."""
    guided, judge = guide(load_model(name), 1.0), settings.evaluation.judge()
    extractor = judge.extractor(guided)
    fewest = min(settings.evaluation.samples, settings.evaluation.final_samples)
    require_samples(f"FID with {extractor.name}", fewest, extractor.dim)
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
    "grid": check_grid,
    "start": lambda name: require_known("starting table", name, CLASSICAL),
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


def describe(error: ValidationError, source: str) -> UsageError:
    """One complaint of pydantic as a sentence: a misspelt key before the one that it leaves out."""
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    *way, last = first["loc"]
    place = ".".join(map(str, [source, *way]))
    if first["type"] != "extra_forbidden":
        found = "nothing" if first["type"] == "missing" else repr(first["input"])
        return UsageError(f"{place}: {last}: {first['msg'].lower()}, got {found}")
    model: Any = SweepSettings
    for part in way:
        model = model.model_fields[part].annotation
    return unknown("key", last, model.model_fields, place)
