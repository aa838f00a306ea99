"""Connect to a Ray cluster, or start a local one, and check that it can run the trials."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dss_ray.config.sweep import Resources
from dss_ray.errors import DssError, UsageError

CONNECT_SECONDS = 10.0
LOOK_EVERY = 1.0  # seconds; Tune asks many times as often how many trials may run
SPARE = 1  # trials that wait on a cluster, so that one that grows has a reason to


def connect(address: str | None, resources: Resources) -> None:
    """Join the cluster at ``address`` (None starts one on this machine), if it can run a trial.

    Raises:
        UsageError: if the cluster cannot be reached or no trial fits.
    """
    if address is None:
        check_gpus(resources)
    join(address)
    check_fit(nodes_now(), resources)


def join(address: str | None) -> None:
    """Connect to the cluster at ``address`` (None starts one on this machine).

    Raises:
        UsageError: if it cannot be reached.
    """
    if address:
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "3")  # it is up, or says no 20 times
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # rows.jsonl is the log
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the sweep has a live table of its own
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "1000")  # the searcher says how many run
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # paths start from the driver's folder
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "inf")  # studies and rows are the state
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # an interrupt ends the sweep itself
    # A user's own model is a module in the current folder, which local workers have to find too.
    paths = [str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    import ray

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are in rows.jsonl
    check_reachable(address)
    terminate = signal.getsignal(signal.SIGTERM)  # Ray replaces it by its own
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"--address {address}: no Ray cluster that this one can join answers there ({error}); "
            "it has to be of the same Ray and Python, and to know the same token, if any "
            "(RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH)"
        ) from None
    except Exception as error:  # Ray raises it bare where its processes are late
        if address:
            raise
        raise DssError(f"Ray did not start on this machine, try again ({error})") from None
    finally:
        signal.signal(signal.SIGTERM, terminate)


def nodes_now() -> list[dict[str, float]]:
    """What each living node of the connected cluster has, at this moment."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def check_gpus(resources: Resources) -> None:
    """Refuse GPUs on a machine without any, before Ray is started."""
    import torch

    if resources.gpus and not torch.cuda.is_available():
        raise UsageError(
            f"resources: a trial asks for {resources.gpus:g} of a GPU, and this machine has none "
            "that torch can use; set resources.gpus to 0, or join a cluster with --address"
        )


def check_reachable(address: str | None) -> None:
    """Refuse HOST:PORT where nobody listens; Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"--address {address}: nobody answers there ({error})") from None


def hosts_now() -> int:
    """How many machines the living nodes of the connected cluster are on."""
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return len({node["NodeManagerAddress"] for node in nodes if node["Alive"]})


def check_fit(nodes: Sequence[Mapping[str, float]], resources: Resources) -> None:
    """Refuse a request that no node can meet; Ray would let it wait for ever."""
    if room(nodes, resources):
        return
    wanted = needs(resources)
    most = {kind: max((node.get(kind, 0.0) for node in nodes), default=0.0) for kind in wanted}
    raise UsageError(
        f"resources: a trial asks for {shown(wanted)}, but no node of the cluster has that: the "
        f"most are {shown(most)}; lower resources.cpus or resources.gpus, or join a cluster of "
        "larger nodes by --address"
    )


def room(nodes: Sequence[Mapping[str, float]], resources: Resources) -> int:
    """How many tasks of that size the nodes hold; one runs on one node."""
    wanted = {kind: count for kind, count in needs(resources).items() if count}
    return sum(
        min(int(node.get(kind, 0.0) / count + 1e-9) for kind, count in wanted.items())
        for node in nodes
    )


def needs(resources: Resources) -> dict[str, float]:
    """A task's request in Ray's names."""
    return {"CPU": float(resources.cpus), "GPU": resources.gpus}


def shown(counts: Mapping[str, float]) -> str:
    """Such as "4 CPU and 0.5 GPU"."""
    return " and ".join(f"{count:g} {kind}" for kind, count in counts.items())


class Crowd:
    """How many trials run at once on the connected cluster, as its nodes come and go.

    Args:
        resources: of a trial.
        concurrency: at most so many; None for as many as the nodes hold.
        joined: whether the cluster was there before, and perhaps grows where there is demand: then
            ``concurrency`` trials, or one more than there is room for, ask for it.
    """

    def __init__(self, resources: Resources, concurrency: int | None, joined: bool) -> None:
        self.resources, self.concurrency, self.joined = resources, concurrency, joined
        self.room, self.slots, self.since, self.passed = 0, 0, time.monotonic(), 0.0
        self.look()  # from now on their time counts

    def look(self) -> None:
        """See what there is now."""
        self.room, self.passed = room(nodes_now(), self.resources), self.seconds()
        self.slots, self.since = min(self.room, self.concurrency or self.room), time.monotonic()

    def __call__(self) -> int:
        """Trials that may run now."""
        if time.monotonic() - self.since >= LOOK_EVERY:
            self.look()
        if self.concurrency is None:
            return self.room + SPARE if self.joined else self.room
        return self.concurrency if self.joined else self.slots

    def seconds(self) -> float:
        """Those of all the workers that there was room for so far."""
        return self.passed + self.slots * (time.monotonic() - self.since)


def use_assigned_cpus() -> None:
    """On a worker: as many torch threads as Ray gave it cores; more would fight over them."""
    import ray
    import torch

    context = ray.get_runtime_context()
    cpus = context.get_assigned_resources().get("CPU", 1)  # type: ignore[no-untyped-call]
    torch.set_num_threads(max(1, int(cpus)))


def enter(folder: str) -> None:
    """On a worker: go to the driver's folder, which relative paths start from, if it is there."""
    with suppress(OSError):
        os.chdir(folder)
