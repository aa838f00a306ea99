"""Do one job of a sweep: search a solver and judge it, or judge the best classical ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from dss_ray.api import named_bundle, search
from dss_ray.bundle import Bundle, fitted_to
from dss_ray.config.space import SETTINGS
from dss_ray.models.cache import can_keep
from dss_ray.models.guidance import guide
from dss_ray.models.meter import Meter
from dss_ray.search.result import SearchSettings
from dss_ray.solver.table import SolverTable
from dss_ray.tune.baselines import screened
from dss_ray.tune.job import Job
from dss_ray.tune.judging import Judging
from dss_ray.tune.loaded import load
from dss_ray.tune.outcome import Outcome


def run_job(job: Job) -> Iterator[Outcome]:
    """Do ``job``: a search has an outcome after each rung of its evaluation, the last one whole.

    A baseline job has one outcome of several results, taken on all samples: what trials are
    compared with is never stopped.

    Raises:
        DssError: if the search or an evaluation fails.
    """
    began, network = time.perf_counter(), Meter.process_seconds
    guided = guide(load(job.model, job.device), float(job.values.get("guidance", 1.0)))
    counts = job.evaluation.counts
    if job.kind == "baseline":
        counts = counts[-1:]
        solvers = [
            Judging(job, guided, kind, grid, named_bundle(name, table, guided.scale))
            for kind, name, grid, table in screened(guided, int(job.values["nfe"]), job.baselines)
        ]
    else:
        bundle = searched(job)
        assert bundle.search
        solvers = [Judging(job, guided, "searched", bundle.search.grid, bundle)]
    for count in counts:
        results = tuple(solver.after(count) for solver in solvers)
        yield Outcome(
            results=results,
            network_seconds=Meter.process_seconds - network,
            seconds=time.perf_counter() - began,
        )


def searched(job: Job) -> Bundle:
    """Search as the job's values say; what another model brought is made to fit this one."""
    values = job.values
    own: dict[str, Any] = {
        name: values[name] for name in ("method", "guidance", "grid", "start") if name in values
    }
    if job.start:
        own["start"] = SolverTable.from_json(job.start)
    settings = SearchSettings(**{name: values[name] for name in SETTINGS if name in values})  # type: ignore[arg-type]
    bundle = search(
        load(job.search_model, job.device),
        int(values["nfe"]),
        settings=settings,
        resume=can_keep(),  # where another worker got to, if they share the cache folder
        **own,
    )
    return fitted_to(load(job.model, job.device), bundle)
