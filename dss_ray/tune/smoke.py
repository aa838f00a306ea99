"""A short search on a node, timed: whether it runs there, and how fast."""

from __future__ import annotations

import time
from collections.abc import Mapping

from dss_ray.api import search
from dss_ray.config.sweep import Resources
from dss_ray.errors import DssError
from dss_ray.search.result import SearchSettings
from dss_ray.tune.loaded import load
from dss_ray.tune.probe import Machine

MODEL, NFE = "digits-sit", 4
SECONDS = 10.0  # of searching on each node
PATIENCE = 120.0  # seconds; a node whose GPUs are all taken may not start in time


def smoke(device: str) -> str:
    """Search for ten seconds: the model is small and shipped, the kernels are those of any."""
    model, settings = load(MODEL, device), SearchSettings(samples=64)
    search(model, NFE, method="least-squares", settings=settings)  # its reference, and warm caches
    began, evaluations = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < SECONDS:
        found = search(model, NFE, method="least-squares", settings=settings).search
        evaluations += found.evaluations if found else 0
    return f"{evaluations / passed:,.0f} network evaluations of {MODEL} a second on {device}"


def smoke_on(kinds: Mapping[str, Machine], resources: Resources) -> dict[str, str | DssError]:
    """What ``smoke`` says on one node of each kind, or why it could not."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for kind, machine in kinds.items():
        there = NodeAffinitySchedulingStrategy(str(machine.node), soft=False)
        gpus = resources.gpus if machine.gpus else 0.0
        task = ray.remote(smoke).options(
            num_cpus=0, num_gpus=gpus, max_retries=0, scheduling_strategy=there
        )
        asked[kind] = task.remote("cuda" if gpus else "cpu")
    found = dict[str, str | DssError]()
    for kind, answer in asked.items():
        try:
            found[kind] = ray.get(answer, timeout=PATIENCE)
        except ray.exceptions.GetTimeoutError:
            found[kind] = DssError(f"not begun within {PATIENCE:g} s, the node may be busy")
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            text = str(cause).strip().partition("\n")[0]
            found[kind] = DssError(f"{type(cause).__name__}: {text}")
    return found
