"""One job of a sweep: search a solver and judge it, or judge the best classical ones."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from functools import cache

import torch

import dss_ray
from dss_ray.api import named_bundle, search
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
from dss_ray.solver.respan import respanned
from dss_ray.solver.sampling import sample
from dss_ray.tune.baselines import Kind, screened
from dss_ray.tune.outcome import Judged, Outcome, Pictures

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
        if self.search_model != self.model:
            document["searched_on"] = load(self.search_model).fingerprint
        text = json.dumps(document, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def search_model(self) -> str:
        """The model to search on: the one to judge on, unless the values name another."""
        return str(self.values.get("search_model", self.model))

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
        found = screened(guided, int(job.values["nfe"]), job.baselines)
        solvers = [
            (kind, grid, named_bundle(name, table, guided.scale))
            for kind, name, grid, table in found
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
    """Search as the job's values say; what another model brought is made to fit this one."""
    values = job.values
    own = {name: values[name] for name in ("method", "guidance", "grid", "start") if name in values}
    settings = SearchSettings(**{name: values[name] for name in SETTINGS if name in values})  # type: ignore[arg-type]
    bundle = search(
        load(job.search_model, job.device),
        int(values["nfe"]),
        settings=settings,
        **own,  # type: ignore[arg-type]
    )
    model = load(job.model, job.device)
    table = respanned(bundle.table, model.t_min, model.t_max)
    return bundle.model_copy(update={"table": table})


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
        pictures=Pictures.of(decoded(guided, states).cpu()),
    )
