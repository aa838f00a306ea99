"""Judge a solver on the selection seed, on more and more samples, none of them drawn twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch

from dss_ray.api import evaluate_part
from dss_ray.bundle import Bundle, Measured
from dss_ray.evaluation.images import decoded
from dss_ray.evaluation.plan import RMSE_SAMPLES, EvaluationPlan
from dss_ray.evaluation.tally import EvaluationResult, Tally
from dss_ray.models.guidance import GuidedModel
from dss_ray.models.teacher import Teacher
from dss_ray.records.rows import Row, distance_name
from dss_ray.solver.sampling import sample
from dss_ray.tune.baselines import Kind
from dss_ray.tune.job import Job
from dss_ray.tune.loaded import judged_by
from dss_ray.tune.outcome import Judged, Pictures

PICTURES = 10  # samples shown of each solver, one of each of the first labels


@dataclass(eq=False)
class Judging:
    """A solver whose evaluation can go on.

    Args:
        job: says how to judge.
        guided: the model.
        kind: "searched", "classical" or "published".
        grid: the (starting) grid of times.
        bundle: the solver.
        tally: what was evaluated so far.
        distances: taken so far, by number of samples.
    """

    job: Job
    guided: GuidedModel
    kind: Kind
    grid: str | None
    bundle: Bundle
    tally: Tally = field(default_factory=Tally)
    distances: dict[int, float] = field(default_factory=dict)

    def after(self, count: int) -> Judged:
        """Its figures on the first ``count`` samples."""
        own = self.job.evaluation
        plan = EvaluationPlan(own.samples, own.seed, "selection")
        extractor, reference = judged_by(self.job.model, own.judge())
        while self.tally.samples < count:
            part = evaluate_part(
                [self.guided] * self.bundle.table.nfe,
                self.bundle.table,
                plan,
                self.tally.merged,
                metrics=("fid", "rmse"),
                extractor=extractor,
            )
            self.tally.add(part)
        result = self.tally.result(reference)
        assert result.fid is not None
        self.distances[result.samples] = result.fid
        return Judged(
            row=self.row(result),
            bundle=self.bundle.model_copy(update={"metrics": self.metrics(result)}),
            pictures=self.pictures,
        )

    def metrics(self, result: EvaluationResult) -> dict[str, Measured]:
        """The figures that its bundle keeps."""
        own, count = self.job.evaluation, result.samples
        found = {
            distance_name(str(result.features)): (result.fid, count),
            "rmse": (result.rmse, min(count, RMSE_SAMPLES)),
        }
        return {
            name: Measured.of([value], samples=drawn, seeds=(own.seed,), domain="selection")
            for name, (value, drawn) in found.items()
            if value is not None
        }

    def row(self, result: EvaluationResult) -> Row:
        """What the records keep of figures."""
        job, found, searched = self.job, self.bundle.search, self.kind == "searched"
        return Row(
            key=job.key if searched else f"{job.key}-{self.bundle.name}-{self.grid}",
            status="done",
            model=job.model,
            nfe=self.bundle.table.nfe,
            kind=self.kind,
            searched=searched,
            solver=self.bundle.name,
            guidance=self.guided.scale,
            method=found.method if found else None,
            grid=self.grid,
            fid=result.fid,
            fid_by_samples=self.distances,
            stopped=result.samples < job.evaluation.samples,  # if no further report follows
            features=str(result.features),
            samples=result.samples,
            fingerprint=self.guided.model.fingerprint,
            reference=job.reference_digest(),
            sampling_evaluations=result.evaluations,
            rmse=result.rmse,
            evaluations=found.evaluations if found else None,
            seconds=found.seconds if found else None,
            reference_seconds=found.reference_seconds if found else None,
            reference_evaluations=found.reference_evaluations if found else None,
            params=dict(job.values) if searched else {},
        )

    @cached_property
    def pictures(self) -> Pictures:
        """Samples of the teacher, and the solver's on the same noises."""
        teacher = Teacher(self.guided, "selection", self.job.evaluation.seed)
        noise, label = teacher.noise(0, PICTURES)
        with torch.no_grad():
            drawn = sample(self.guided, self.bundle.table, noise, label)
        return Pictures.of(
            decoded(self.guided, torch.cat([teacher.ends(0, PICTURES), drawn])).cpu()
        )
