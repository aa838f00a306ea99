"""Whether a machine or a cluster can run sweeps: what was found, what is wanted, what to do."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dss_ray.config.sweep import Resources, SweepSettings
from dss_ray.errors import DssError, UsageError
from dss_ray.records.mlflow.store import check_store, on_disk, tracking_uri
from dss_ray.tune.cluster import check_fit, check_gpus, hosts_now, join, nodes_now
from dss_ray.tune.probe import Machine, machines, this_machine
from dss_ray.tune.smoke import smoke, smoke_on
from dss_ray.tune.storage import check_shared, check_studies, shared_storage

PATIENCE = 900.0  # seconds until a node that should be there is given up
SKEW = 2.0  # seconds between clocks
DISK = 2e9  # bytes


@dataclass(frozen=True)
class Check:
    """One line of the doctor's.

    Args:
        what: was looked at.
        found: what it is.
        good: whether that will do.
        wanted: what it should be; "" where it is good.
        remedy: how to get there; "" where it is good.
    """

    what: str
    found: str
    good: bool = True
    wanted: str = ""
    remedy: str = ""


def examine(
    settings: SweepSettings | None,
    files: list[str],
    address: str | None,
    folder: str,
    nodes: int = 1,
) -> list[Check]:
    """Look at this machine, or at all nodes of the cluster at ``address``.

    Args:
        settings: the sweep that is to run; None for any.
        files: that it reads.
        address: of a running cluster; None looks at this machine alone, without Ray.
        folder: that all nodes should see.
        nodes: that the cluster should have; they are waited for.

    Returns:
        What was found; a cluster that cannot be reached is the only line.
    """
    base, mark = Path(folder).expanduser().resolve(), f".doctor-{uuid.uuid4().hex}"
    try:
        base.mkdir(parents=True, exist_ok=True)
        (base / mark).touch()
    except OSError as error:
        reason = f"{base}: {error.strerror}"
        return [Check("folder", reason, False, "one that can be written", "give another --folder")]
    resources = settings.resources if settings else Resources()
    try:
        if address is None:
            found = [this_machine(str(base), mark, files)]
            return [*alone(resources), *compared(found, base), *stores(base)]
        try:
            join(address)
        except UsageError as error:
            return [Check("cluster", str(error), False)]
        import ray

        try:
            wait_for_nodes(nodes)
            found, lost = machines(str(base), mark, files)
            lines = [*joined(found, lost, resources, nodes), *compared(found, base), *stores(base)]
            sound = all(line.good for line in lines)
            return [*lines, *(smoke_lines(found, resources) if sound else ())]
        finally:
            ray.shutdown()
    finally:
        (base / mark).unlink(missing_ok=True)


def wait_for_nodes(count: int) -> None:
    """Until the cluster has so many nodes, or time is up: those of a cloud take minutes."""
    deadline = time.monotonic() + PATIENCE
    while len(nodes_now()) < count and time.monotonic() < deadline:
        time.sleep(1)


def joined(
    found: list[Machine], lost: dict[str, str], resources: Resources, nodes: int
) -> Iterator[Check]:
    """What only a cluster has: nodes that answer, resources, a token, clocks."""
    count = len(found) + len(lost)
    remedy = "look at `ray status` on the head, or wait longer"
    few = [f"{count} after {PATIENCE / 60:g} minutes"] if count < nodes else []
    yield listed("nodes", f"{count} on {hosts_now()} machines", few, f"{nodes} at least", remedy)
    for address, reason in lost.items():
        remedy = "look at its Ray logs, or take it out of the cluster"
        yield Check("node", f"{address}: {reason}", False, "an answer", remedy)
    try:
        check_fit(nodes_now(), resources)
        yield Check("resources", ", ".join(sorted({machine.kind for machine in found})))
    except UsageError as error:
        yield Check("resources", str(error).removeprefix("resources: "), False)
    token = os.environ.get("RAY_AUTH_MODE", "") == "token"
    yield Check("token", "asked for" if token else "not asked for (RAY_AUTH_MODE=token does)")
    worst = max(found, key=lambda machine: abs(machine.clock), default=None)
    if worst:
        off = f"{worst.address} is {worst.clock:+.1f} s off at most"
        late = [off] if abs(worst.clock) > SKEW else []
        yield listed("clocks", off, late, f"less than {SKEW:g} s", "run NTP there")


def compared(found: list[Machine], base: Path) -> Iterator[Check]:
    """Versions, code, folder, files, disk and GPUs of all machines, against those of this one."""
    own = this_machine(str(base), "", [])
    for name, version in own.versions.items():
        others = {m.address: m.versions[name] for m in found if m.versions[name] != version}
        yield differing(name, str(version), others, f"install {name} {version} there")
    others = {m.address: m.code for m in found if m.code != own.code}
    yield differing("code", str(own.code), others, "install the same dss_ray on all nodes")
    refused = [f"{m.address}: {m.folder}" for m in found if m.folder]
    remedy = "mount it on all nodes, or give another --folder"
    yield listed("folder", str(base), refused, "one that all nodes can write", remedy)
    absent = [f"{m.address} lacks {', '.join(m.absent)}" for m in found if m.absent]
    yield listed("files", "all there", absent, "on all nodes", f"put them into {base}")
    full = [f"{m.address}: {m.free[p] / 1e9:.1f} GB in {p}" for m in found for p in m.free
            if m.free[p] < DISK]  # fmt: skip
    least = min((free for machine in found for free in machine.free.values()), default=0)
    yield listed("disk", f"{least / 1e9:.0f} GB free", full, f"{DISK / 1e9:g} GB", "free some")
    blind = [f"{m.address} has {m.kind}, torch sees {m.gpus}" for m in found
             if "GPU" in m.kind and not m.gpus]  # fmt: skip
    yield listed(
        "GPUs", f"{sum(m.gpus for m in found)}", blind, "those of Ray", "install CUDA's torch"
    )


def differing(what: str, own: str, others: dict[str, str | None], remedy: str) -> Check:
    """A line on something that should be the same everywhere."""
    found = ", ".join(f"{value or 'none'} on {address}" for address, value in others.items())
    return listed(what, own, [found] if found else [], own, remedy)


def listed(what: str, good: str, bad: list[str], wanted: str, remedy: str) -> Check:
    """A line that is good where nothing is bad."""
    if not bad:
        return Check(what, good)
    return Check(what, "; ".join(bad), False, wanted, remedy)


def stores(base: Path) -> Iterator[Check]:
    """The databases of Optuna and MLflow, from the driver's machine: it alone writes to them."""
    import ray

    try:
        check_shared(hosts_now() if ray.is_initialized() else 1)
    except UsageError as error:
        yield Check("stores", str(error), False)
        return
    shown = "a file of the sweep"
    try:
        if shared_storage():
            shown = check_studies(base)
        yield Check("studies", shown)
    except DssError as error:
        yield Check("studies", str(error), False)
    uri = tracking_uri()
    try:
        if not on_disk(uri):
            check_store(uri)
        yield Check("MLflow", "files here" if on_disk(uri) else "answers and takes records")
    except DssError as error:
        yield Check("MLflow", str(error), False)


def alone(resources: Resources) -> Iterator[Check]:
    """Whether this machine can run a trial, and how fast."""
    try:
        check_gpus(resources)
        check_fit([{"CPU": os.cpu_count() or 1, "GPU": resources.gpus}], resources)
        yield Check("search", smoke(resources.device))
    except DssError as error:
        yield Check("resources", str(error).removeprefix("resources: "), False)


def smoke_lines(found: Iterable[Machine], resources: Resources) -> Iterator[Check]:
    """A short search, timed, on one node of each kind."""
    kinds = {machine.kind: machine for machine in found}
    for kind, rate in smoke_on(kinds, resources).items():
        failed = [str(rate)] if isinstance(rate, DssError) else []
        remedy = f"look at the logs of {kinds[kind].address}"
        yield listed(f"search on {kind}", str(rate), failed, "a result", remedy)
