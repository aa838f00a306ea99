"""The commands on clusters: is one fit, and run a sweep on it from outside."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dss_ray.cli import options
from dss_ray.cli.assignments import overridden
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import DONE, WRONG, Result, verb
from dss_ray.errors import UsageError

if TYPE_CHECKING:  # slow to import, and --help needs none of it
    from collections.abc import Callable, Sequence

    from dss_ray.config.sweep import SweepSettings
    from dss_ray.tune.doctor import Check
    from dss_ray.tune.jobs import Jobs
    from dss_ray.tune.launch import Parcel


@verb
def doctor(
    space: options.DoctorSpace = None,
    *,
    address: options.AnyAddress = None,
    cluster: options.Cluster = None,
    folder: options.SharedFolder = None,
    nodes: options.Nodes = 1,
    assign: options.Assignments = None,
) -> Result:
    """Check whether this machine or a cluster can run sweeps."""
    if address and cluster:
        raise UsageError(
            "give either --address or --cluster: one names a cluster, the other a file"
        )
    overrides = overridden(assign)
    with stage("looking around"):
        if cluster:
            return checked_file(cluster, space, overrides)
        from dss_ray.tune.doctor import examine
        from dss_ray.tune.jobs import Jobs
        from dss_ray.tune.launch import preflight

        if address and address.startswith(("http://", "https://")):
            parcel = packed(space or "digits", folder, overrides)
            return report(preflight(Jobs(address), parcel, nodes))
        settings, files = (None, list[str]())
        if space:
            settings, files = read(space, overrides)
        return report(examine(settings, files, address, folder or ".", nodes))


@verb
def launch(
    space: options.Space,
    *,
    cluster: options.Cluster = None,
    address: options.JobAddress = None,
    folder: options.SharedFolder = None,
    attach: options.Attach = False,
    name: options.SweepName = None,
    trials: options.Trials = None,
    time_budget: options.TimeBudget = None,
    concurrency: options.Concurrency = None,
    resume: options.Resume = False,
    assign: options.Assignments = None,
) -> Result:
    """Run a sweep on a cluster as a Ray job, follow it and fetch what it found."""
    if (cluster is None) == (address is None):
        raise UsageError("give either --cluster FILE or --address http://HEAD:8265")
    overrides = overridden(
        assign, name=name, trials=trials, time_budget=time_budget, concurrency=concurrency
    )
    parcel = packed(space, folder, overrides, resume)
    from dss_ray.tune.jobs import Jobs
    from dss_ray.tune.launcher import bring_up, check_cluster, forwarded, nodes_of

    if cluster is None:
        stop = f"ray job stop {{}} --address {address}"
        return run(Jobs(str(address)), parcel, attach, stop)
    document = check_cluster(cluster, parcel.resources)
    if not attach:
        bring_up(cluster)
    with forwarded(cluster) as (jobs, tunnel):
        stop = f"ray exec {cluster} 'ray job stop {{}}'"
        return run(jobs, parcel, attach, stop, nodes_of(document), tunnel.dig)


def run(  # noqa: PLR0917
    jobs: "Jobs",
    parcel: "Parcel",
    attach: bool,
    stop: str,
    nodes: int = 1,
    revive: "Callable[[], object]" = lambda: None,
) -> Result:
    """Check, submit, follow and fetch; with ``attach`` go on following.

    ``stop`` is the command that ends a job, with {} for it; ``revive`` mends the connection.
    """
    from dss_ray.tune.launch import check_local, fetch, preflight, start

    check_local(parcel.name, jobs)
    if attach:
        job, folder = running(jobs, parcel.name)
        parcel = replace(parcel, folder=folder)
    else:
        with stage("checking the cluster"):
            lines = preflight(jobs, parcel, nodes)
        if not all(line.good for line in lines):
            return report(lines)
        job = start(jobs, parcel)
        sys.stderr.write(f"job {job} on {jobs.address}\n")
    try:
        code = jobs.follow(job, sys.stderr.write, revive)
    except KeyboardInterrupt:
        sys.stderr.write(
            "no longer following; the sweep goes on. --attach follows it again, and "
            f"`{stop.format(job)}` ends it, to be resumed\n"
        )
        raise
    if code == WRONG:
        return Result(
            {"name": parcel.name, "job": job, "code": code}, f"job {job}: see above", code
        )
    with stage("fetching"):
        target = fetch(jobs, parcel)
    from dss_ray.records.leaderboard import leaderboard_rows
    from dss_ray.records.runs import RUNS, sweep_rows

    board = leaderboard_rows(sweep_rows(RUNS, parcel.name))
    document = {"name": parcel.name, "job": job, "code": code, "path": str(target), "best": board}
    text = f"job {job} ended with {code}; its record and bundles are in {target}"
    return Result(document, text, code)


def running(jobs: "Jobs", name: str) -> tuple[str, str]:
    """The sweep's latest job, and its folder on the cluster."""
    from dss_ray.tune.jobs import FOLDER

    found = jobs.latest(name)
    if found is None:
        raise UsageError(f"--attach: no job of a sweep '{name}' on {jobs.address}")
    return str(found.submission_id), (found.metadata or {})[FOLDER]


def read(space: str, overrides: dict[str, Any]) -> "tuple[SweepSettings, list[str]]":
    """The settings of a space, and the files that it names."""
    from dss_ray.config.read import named_files, plan_sweep

    return plan_sweep(space, overrides)[0], named_files(space, overrides)


def packed(
    space: str, folder: str | None, overrides: dict[str, Any], resume: bool = False
) -> "Parcel":
    """What a sweep needs of this machine."""
    with stage(f"checking {space}"):
        settings, files = read(space, overrides)
    from dss_ray.config.read import read_space
    from dss_ray.tune.launch import Parcel

    told = overrides | {"name": settings.name}  # the name may be the file's, whose stem is lost
    return Parcel(
        name=settings.name,
        text=read_space(space)[0],
        assignments=[f"{k}={json.dumps(v)}" for k, v in told.items()],
        resume=resume,
        modules=settings.own_modules(Path.cwd()),
        files=files,
        folder=folder or "~/dss_ray",
        resources=settings.resources,
    )


def checked_file(cluster: Path, space: str | None, overrides: dict[str, Any]) -> Result:
    """Whether a cluster file is one, and has nodes for the trials of a space."""
    from dss_ray.config.sweep import Resources
    from dss_ray.tune.doctor import Check
    from dss_ray.tune.launcher import check_cluster

    resources = read(space, overrides)[0].resources if space else Resources()
    document = check_cluster(cluster, resources)
    types = document.get("available_node_types", {})
    most = f", up to {document['max_workers']} workers" if "max_workers" in document else ""
    return report([Check("cluster file", f"{len(types) or 1} kinds of nodes{most}")])


def report(lines: "Sequence[Check]") -> Result:
    """A line for each; those that are bad say what is wanted and what to do."""
    text = [
        f"{'ok ' if line.good else 'BAD'} {line.what}: {line.found}{advice(line)}" for line in lines
    ]
    code = DONE if all(line.good for line in lines) else WRONG
    return Result([asdict(line) for line in lines], "\n".join(text), code)


def advice(line: "Check") -> str:
    """What is wanted and how to get there."""
    if line.good:
        return ""
    wanted = f"; wanted: {line.wanted}" if line.wanted else ""
    return wanted + (f"; {line.remedy}" if line.remedy else "")
