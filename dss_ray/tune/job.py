"""One job of a sweep: search a solver and judge it, or judge the best classical ones."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch

import dss_ray
from dss_ray.api import named_bundle, search, span
from dss_ray.bundle import Bundle
from dss_ray.config.space import SETTINGS, Value
from dss_ray.config.sweep import Baselines, Evaluation
from dss_ray.evaluation.evaluate import evaluate
from dss_ray.evaluation.images import decoded
from dss_ray.evaluation.judge import Judge, reference_ends
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.evaluation.reference import ReferenceStatistics
from dss_ray.models.features import Extractor
from dss_ray.models.guidance import GuidedModel, guide
from dss_ray.models.meter import Meter
from dss_ray.models.teacher import Teacher
from dss_ray.models.zoo import load_model
from dss_ray.records.rows import Row
from dss_ray.search.result import SearchSettings
from dss_ray.solver.classical import baseline_tables
from dss_ray.solver.grids import make_grid
from dss_ray.solver.published import published_names, published_table
from dss_ray.solver.sampling import sample
from dss_ray.solver.table import SolverTable
from dss_ray.tune.outcome import Judged, Outcome, Pictures

ENDS = 1e-3  # how much of a discrete model's time range a continuous one's table may leave out
PICTURES = 10  # samples shown of each solver, one of each of the first labels


@dataclass(frozen=True)
class Job:
    """What a worker is asked to do.

    Args:
        kind: "searched" (search one solver and judge it) or "baseline" (screen the classical and
            published ones at one NFE and guidance and judge the best).
        model: name of the model.
        values: the active values of the space; nfe and guidance alone for "baseline".
        evaluation: how to judge.
        baselines: what to screen.
        device: where the model goes.
    """

    kind: str
    model: str
    values: dict[str, Value]
    evaluation: Evaluation
    baselines: Baselines
    device: str = "cpu"

    @property
    def key(self) -> str:
        """Hash of all that determines the result; finished keys never run again."""
        document = {
            "version": dss_ray.__version__,
            "kind": self.kind,
            "model": load(self.model).fingerprint,
            "values": self.values,
            "samples": self.evaluation.samples,
            "seed": self.evaluation.seed,
            "reference": self.reference_digest(),
            "baselines": self.baselines.model_dump() if self.kind == "baseline" else None,
        }
        text = json.dumps(document, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def reference_digest(self) -> str:
        """Hash of what the distance is measured with and from."""
        _, reference = judged_by(self.model, self.evaluation.judge())
        mean = reference.statistics.mean.numpy().tobytes()
        return hashlib.sha256(reference.fingerprint.encode() + mean).hexdigest()[:16]


load = cache(load_model)


@cache
def judged_by(name: str, judge: Judge) -> tuple[Extractor, ReferenceStatistics]:
    """Extractor and statistics of a model, which a worker keeps between jobs."""
    guided = guide(load(name), 1.0)
    return judge.extractor(guided), judge.reference(guided)


def run_job(job: Job) -> Outcome:
    """Do ``job``; a search has one result, a baseline job several.

    Raises:
        DssError: if the search or an evaluation fails.
    """
    began, network = time.perf_counter(), Meter.process_seconds
    guided = guide(load(job.model, job.device), float(job.values.get("guidance", 1.0)))
    if job.kind == "baseline":
        solvers = [
            (kind, grid, named_bundle(name, table, guided.scale))
            for kind, name, grid, table in screened(job, guided)
        ]
    else:
        bundle = searched(job)
        assert bundle.search
        solvers = [("searched", bundle.search.grid, bundle)]
    results = tuple(judged(job, guided, kind, grid, bundle) for kind, grid, bundle in solvers)
    return Outcome(
        results=results,
        network_seconds=Meter.process_seconds - network,
        seconds=time.perf_counter() - began,
    )


def searched(job: Job) -> Bundle:
    """Search as the job's values say."""
    values = job.values
    own = {name: values[name] for name in ("method", "guidance", "grid", "start") if name in values}
    settings = SearchSettings(**{name: values[name] for name in SETTINGS if name in values})  # type: ignore[arg-type]
    return search(load(job.model, job.device), int(values["nfe"]), settings=settings, **own)  # type: ignore[arg-type]


Kind = Literal["searched", "classical", "published"]
Candidate = tuple[Kind, str, str | None, SolverTable]  # kind, name, grid, table


def candidates(job: Job, guided: GuidedModel) -> Iterator[Candidate]:
    """Every classical method on every grid, and the published tables, at the job's NFE."""
    nfe = int(job.values["nfe"])
    for grid in job.baselines.grids:
        knots = make_grid(grid, nfe, guided.t_min, guided.t_max)
        for name, table in baseline_tables(knots).items():
            if name in job.baselines.methods:
                yield "classical", name, grid, table
    for name in published_names():
        table = published_table(name)
        if table.nfe == nfe and covers(table, guided):
            yield "published", name, None, table


def covers(table: SolverTable, guided: GuidedModel) -> bool:
    """Whether a table stays in the model's time range and runs from end to end of it, nearly."""
    (first, last), begin, end = span(table), guided.t_min, guided.t_max
    return begin <= first < begin + ENDS and end - ENDS < last <= end


def screened(job: Job, guided: GuidedModel) -> list[Candidate]:
    """The candidates with the least rmse on a few search noises: some classical, one published."""
    count = job.baselines.samples
    teacher = Teacher(guided, "search", 0)
    (noise, label), ends = teacher.noise(0, count), teacher.ends(0, count)
    meter, ranked = Meter(guided), list[tuple[float, Candidate]]()
    with torch.no_grad():
        for candidate in candidates(job, guided):
            states = sample(meter, candidate[-1], noise, label)
            ranked.append((float((states - ends).square().mean()), candidate))
    ranked = sorted(
        (entry for entry in ranked if entry[0] < float("inf")), key=lambda entry: entry[0]
    )
    keep: dict[Kind, int] = {"classical": job.baselines.keep, "published": 1}
    return [
        entry for kind, most in keep.items()
        for entry in [one for _, one in ranked if one[0] == kind][:most]
    ]  # fmt: skip


def judged(job: Job, guided: GuidedModel, kind: Kind, grid: str | None, bundle: Bundle) -> Judged:
    """Evaluate ``bundle`` on the selection seed."""
    plan = EvaluationPlan(job.evaluation.samples, job.evaluation.seed, "selection")
    teacher = Teacher(guided, "selection", job.evaluation.seed)
    extractor, reference = judged_by(job.model, job.evaluation.judge())
    ends = reference_ends(teacher, plan)
    result = evaluate(
        guided, bundle.table, plan, extractor=extractor, reference=reference, reference_end=ends
    )
    noise, label = teacher.noise(0, PICTURES)
    with torch.no_grad():
        states = torch.cat([ends[:PICTURES], sample(guided, bundle.table, noise, label)])
    found = bundle.search
    row = Row(
        key=job.key if kind == "searched" else f"{job.key}-{bundle.name}-{grid}",
        status="done",
        model=job.model,
        nfe=bundle.table.nfe,
        kind=kind,
        searched=kind == "searched",
        solver=bundle.name,
        guidance=guided.scale,
        method=found.method if found else None,
        grid=grid,
        fid=result.fid,
        features=str(result.features),
        samples=result.samples,
        rmse=result.rmse,
        evaluations=found.evaluations if found else None,
        seconds=found.seconds if found else None,
        reference_seconds=found.reference_seconds if found else None,
        reference_evaluations=found.reference_evaluations if found else None,
        params=dict(job.values) if kind == "searched" else {},
    )
    metrics = {
        f"FID[{result.features}]": result.fid,
        "rmse": result.rmse,
        "samples": result.samples,
    }
    return Judged(
        row=row,
        bundle=bundle.model_copy(update={"metrics": metrics}),
        pictures=Pictures.of(decoded(guided, states)),
    )
