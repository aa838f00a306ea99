"""The settings of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dss_ray.config.space import Dimension, parse_space
from dss_ray.evaluation.judge import Judge
from dss_ray.evaluation.plan import CHUNK

Seed = Annotated[int, Field(ge=0)]  # negative ones are the teacher's own
Count = Annotated[int, Field(ge=1)]
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

    Attributes:
        samples: of a trial.
        rungs: fewer samples, at which a trial stops unless its distance is among the best of those
            with its step count, one in ``reduction_factor`` (successive halving,
            arXiv 1810.05934); whole chunks of the evaluation.
        reduction_factor: see ``rungs``.
        seed: of the selection's noises.
        final_samples: of a finalist, on each of the ``final_seeds``.
        features: replaces the model's own extractor.
        statistics: a file that replaces the model's own reference statistics.
    """

    samples: Annotated[int, Field(ge=16)] = 2000
    rungs: Annotated[tuple[Rung, ...], AfterValidator(rising)] = ()
    reduction_factor: Annotated[int, Field(ge=2)] = 2
    seed: Seed = 0
    final_samples: Annotated[int, Field(ge=16)] = 2000
    features: str | None = None
    statistics: str | None = None
    final_seeds: Annotated[tuple[Seed, ...], Field(min_length=2), AfterValidator(distinct)] = (
        0,
        1,
        2,
    )

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
    grids: Annotated[tuple[str, ...], Field(min_length=1)]
    samples: Count = 16
    keep: Count = 2


class SweepSettings(Frozen):
    """All of a sweep.

    Attributes:
        name: names the folder ``runs/NAME`` and the experiment's parent run.
        models: the models to evaluate on; each has its own study and front.
        trials: budget of searched trials per model.
        time_budget: seconds; no trial starts that would end later if it took as long as the others
            did on average. None, here and below, for no limit.
        evaluation_budget: network evaluations, of searches and of samples that solvers are judged
            by, after which no further trial starts.
        cpu_hours: likewise, hours of all workers' CPUs.
        gpu_hours: likewise, of their GPUs.
        trial_seconds: wall seconds of a worker after which a trial fails, hanging ones too.
        concurrency: trials at once; None for as many as the cluster holds.
        seed: of the sampler that chooses the trials.
        resources: of one trial.
        evaluation: sample counts and seeds.
        baselines: what the searched solvers are compared with.
        search: the space.
    """

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
    models: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)]
    trials: Count = 50
    time_budget: Positive | None = None
    evaluation_budget: Count | None = None
    cpu_hours: Positive | None = None
    gpu_hours: Positive | None = None
    trial_seconds: Positive | None = None
    concurrency: Count | None = None
    seed: int = 0
    resources: Resources = Resources()
    evaluation: Evaluation = Evaluation()
    baselines: Baselines
    search: dict[str, Any]

    def space(self) -> tuple[Dimension, ...]:
        """The dimensions of ``search``."""
        return parse_space(self.search, "search")
