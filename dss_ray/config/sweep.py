"""The settings of a sweep."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dss_ray.config.space import Dimension, parse_space
from dss_ray.evaluation.judge import Judge
from dss_ray.evaluation.plan import CHUNK

Seed = Annotated[int, Field(ge=0)]  # negative ones are the teacher's own
Count = Annotated[int, Field(ge=1)]
Objective = Literal["nfe", "fid", "rmse", "evaluations", "seconds"]
Positive = Annotated[float, Field(gt=0)]
Rung = Annotated[int, Field(ge=1, multiple_of=CHUNK)]


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """``values``, none of them twice."""
    if len(set(values)) < len(values):
        raise ValueError("each should be given once")
    return values


def rising(values: tuple[int, ...]) -> tuple[int, ...]:
    """``values``, each greater than the one before."""
    if sorted(set(values)) != list(values):
        raise ValueError("each should be greater than the one before")
    return values


class Frozen(BaseModel):
    """Settings that cannot change and know no foreign keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Resources(Frozen):
    """What one trial takes of the cluster."""

    cpus: Annotated[int, Field(ge=1)] = 1
    """Cores of a trial."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """GPUs of a trial; a fraction lets trials share one."""

    @property
    def device(self) -> str:
        """Where a trial's model goes: Ray shows a trial only the GPU it was given."""
        return "cuda" if self.gpus else "cpu"


class Evaluation(Frozen):
    """How solvers are judged: trials on the selection seed, finalists on the evaluation seeds."""

    samples: Annotated[int, Field(ge=16)] = 2000
    """Samples of a trial."""
    rungs: Annotated[tuple[Rung, ...], AfterValidator(rising)] = ()
    """Fewer samples, whole chunks of 250, at which a trial stops unless its distance is among the
    best of those with its step count, one in ``reduction_factor`` (successive halving,
    arXiv 1810.05934)."""
    reduction_factor: Annotated[int, Field(ge=2)] = 2
    """One trial in so many goes on from a rung."""
    seed: Seed = 0
    """Of the selection's noises."""
    finalists: Count = 1
    """How many of the best per step count are judged again on fresh seeds."""
    final_samples: Annotated[int, Field(ge=16)] = 2000
    """Samples of a finalist on each of the final seeds."""
    features: str | None = None
    """The extractor, such as inception?path=FILE; the model's own if left out."""
    statistics: str | None = None
    """A file of reference statistics; those of the extractor or the teacher's if left out."""
    final_seeds: Annotated[tuple[Seed, ...], Field(min_length=2), AfterValidator(distinct)] = (
        0,
        1,
        2,
    )
    """Seeds of the noises that the finalists are judged on, which no trial has seen."""

    @model_validator(mode="after")
    def check(self) -> Self:
        """The rungs lead up to all samples."""
        if self.rungs and self.rungs[-1] >= self.samples:
            raise ValueError(f"rungs should stay below samples, which is {self.samples}")
        return self

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of samples after which a trial reports."""
        return (*self.rungs, self.samples)

    def judge(self) -> Judge:
        """Extractor and statistics."""
        statistics = self.statistics and str(Path(self.statistics).resolve())
        return Judge(self.features, statistics)


class Baselines(Frozen):
    """Classical solvers, screened by rmse over methods and grids; the best are evaluated."""

    methods: Annotated[tuple[str, ...], Field(min_length=1)]
    """Classical solvers by name."""
    grids: Annotated[tuple[str, ...], Field(min_length=1)]
    """Time grids by name."""
    samples: Count = 16
    """Samples that each method on each grid is screened on."""
    keep: Count = 2
    """How many are evaluated, per model, step count and guidance scale."""


class SweepSettings(Frozen):
    """All of a sweep."""

    MAY_CHANGE: ClassVar[frozenset[str]] = frozenset(
        {
            "trials",
            "time_budget",
            "evaluation_budget",
            "cpu_hours",
            "gpu_hours",
            "trial_seconds",
            "concurrency",
        }
    )

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """Names the folder runs/NAME and the parent run; the file's own name if left out."""
    models: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)]
    """The models to evaluate on; each has its own study and front."""
    trials: Count = 50
    """Searched trials per model."""
    time_budget: Positive | None = None
    """Seconds for baselines and trials; none starts that would end later if it took as long as the
    others did on average, and those that still run then are left for --resume."""
    evaluation_budget: Count | None = None
    """Network evaluations, of searches and of samples that solvers are judged by, after which no
    further trial starts."""
    cpu_hours: Positive | None = None
    """Hours of all workers' CPUs after which no further trial starts."""
    gpu_hours: Positive | None = None
    """Hours of all workers' GPUs after which no further trial starts."""
    trial_seconds: Positive | None = None
    """Wall seconds of a worker after which a trial fails, hanging ones too."""
    concurrency: Count | None = None
    """Trials at once; as many as the cluster holds if left out."""
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1), AfterValidator(distinct)] = (
        "nfe",
        "fid",
    )
    """Figures that the sampler minimises together; evaluations and seconds are the search's."""
    constraints: dict[Objective, Positive] = {}
    """What figures of a trial may be at most, such as {seconds: 60}; where one is more, the trial
    is never among the best, and the sampler keeps away from its like."""
    sampler: Literal["tpe", "nsga2", "gp", "random", "grid"] = "tpe"
    """How trials are chosen; grid takes the points of a finite space in order."""
    seed: int = 0
    """Of the sampler."""
    warm_start: tuple[str, ...] = ()
    """Earlier sweeps in ./runs, of this model or another, whose best points are tried first."""
    resources: Resources = Resources()
    """Of one trial."""
    evaluation: Evaluation = Evaluation()
    """Sample counts and seeds."""
    baselines: Baselines
    """What the searched solvers are compared with."""
    search: dict[str, Any]
    """The space: each key a value, {choice: [...]} or {range: [low, high]}."""

    def own_modules(self, folder: Path) -> list[Path]:
        """The modules and packages in ``folder`` that the models and the extractor come from."""
        swept = [d.choices for d in self.space() if d.name == "search_model"]
        names = [*self.models, *itertools.chain(*swept), self.evaluation.features or ""]
        found = dict[Path, None]()
        for name in map(str, names):
            top = name.partition("?")[0].partition(":")[0].partition(".")[0]
            if ":" in name:
                found |= {p: None for p in (folder / top, folder / f"{top}.py") if p.exists()}
        return list(found)

    def space(self) -> tuple[Dimension, ...]:
        """The dimensions of ``search``."""
        return parse_space(self.search, "search")
