"""Connect to a Ray cluster, or start a local one, and check that it can run the trials."""

from __future__ import annotations

import logging
import os
import signal
import socket
from pathlib import Path

from dss_ray.config.sweep import Resources
from dss_ray.errors import UsageError

CONNECT_SECONDS = 10.0


def connect(address: str | None, resources: Resources) -> int:
    """Join the cluster at ``address`` (None starts one on this machine).

    Returns:
        How many trials fit into the cluster at once.

    Raises:
        UsageError: if the cluster cannot be reached or no trial fits.
    """
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # rows.jsonl is the log
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the sweep has a live table of its own
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # an interrupt ends the sweep itself
    if address is None:
        check_gpus(resources)
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
        raise UsageError(f"--address {address}: no Ray cluster answers there ({error})") from None
    finally:
        signal.signal(signal.SIGTERM, terminate)
    available = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return fitting(available, resources)


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


def fitting(available: dict[str, float], resources: Resources) -> int:
    """How many trials the cluster holds; a request that never fits would wait for ever."""
    wanted = {"CPU": float(resources.cpus), "GPU": resources.gpus}
    slots = [
        int(available.get(kind, 0.0) / count + 1e-9) for kind, count in wanted.items() if count
    ]
    if min(slots) < 1:
        found = {kind: available.get(kind, 0.0) for kind in wanted}
        raise UsageError(
            f"resources: a trial asks for {wanted}, but the whole cluster has {found}; "
            "lower resources.cpus or resources.gpus, or join a larger cluster with --address"
        )
    return min(slots)


def use_assigned_cpus() -> None:
    """On a worker: as many torch threads as Ray gave it cores; more would fight over them."""
    import ray
    import torch

    context = ray.get_runtime_context()
    cpus = context.get_assigned_resources().get("CPU", 1)  # type: ignore[no-untyped-call]
    torch.set_num_threads(max(1, int(cpus)))
