"""What a machine says of itself, found without this package: it may lack it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PATIENCE = 60.0  # seconds until a node that does not answer is given up


@dataclass(frozen=True)
class Machine:
    """A node as it was found.

    Args:
        address: of the node in the cluster, or of this machine.
        kind: what it has, such as "8 CPU and 1 GPU".
        node: its identity in the cluster; None for a machine alone.
        versions: of Python and a few packages; None where one is not installed.
        code: digest of this package's sources; None without it.
        clock: seconds by which its clock is ahead of the driver's, as far as asking can tell.
        folder: why the shared folder cannot be used there; None where it can.
        free: free bytes of disk by what is kept there.
        absent: which of the files asked for it does not have.
        gpus: that torch can use.
    """

    address: str
    kind: str
    node: str | None
    versions: Mapping[str, str | None]
    code: str | None
    clock: float
    folder: str | None
    free: Mapping[str, int]
    absent: tuple[str, ...]
    gpus: int


def this_machine(folder: str, mark: str, files: list[str]) -> Machine:
    """The machine that this runs on."""
    found = probe()(folder, mark, files) | {"clock": 0.0}
    return Machine(address="this machine", kind="", node=None, **found)


def machines(folder: str, mark: str, files: list[str]) -> tuple[list[Machine], dict[str, str]]:
    """The living nodes of the connected cluster, and by address why some of them did not answer."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    asked, began = list[Any](), time.time()
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        look = ray.remote(probe()).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        asked.append(look.remote(folder, mark, files))
    found, lost = list[Machine](), dict[str, str]()
    for node, answer in zip(nodes, asked, strict=True):
        address, has = node["NodeManagerAddress"], node["Resources"]
        kind = " and ".join(f"{has[name]:g} {name}" for name in ("CPU", "GPU") if name in has)
        try:
            seen = ray.get(answer, timeout=PATIENCE)
        except (ray.exceptions.RayError, TimeoutError) as error:
            lost[address] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            continue
        # Asked later than ``began`` and answered before now: its clock is right if it lies between.
        seen["clock"] -= min(max(seen["clock"], began), time.time())
        found.append(Machine(address=address, kind=kind or "nothing", node=node["NodeID"], **seen))
    return found, lost


def probe() -> Callable[[str, str, list[str]], dict[str, Any]]:
    """The function that looks around on a machine.

    It is made here, so that it is pickled by value and runs where this package is not installed.
    Its arguments: the shared folder, the name of a file that the driver has left there, and files
    to look for.
    """

    def look(folder: str, mark: str, files: list[str]) -> dict[str, Any]:
        import hashlib
        import os
        import platform
        import shutil
        import socket
        import time
        from importlib import metadata, util
        from pathlib import Path

        def version(package: str) -> str | None:
            try:
                return metadata.version(package)
            except metadata.PackageNotFoundError:
                return None

        def existing(path: Path) -> Path:
            return path if path.exists() else existing(path.parent)

        base, refused = Path(folder).expanduser(), None
        own = base / f"{mark}-{socket.gethostname()}-{os.getpid()}"
        try:
            own.touch()
            own.unlink()
            if not (base / mark).exists():
                refused = "it is not the driver's folder"
        except OSError as error:
            refused = error.strerror or str(error)
        package, code = util.find_spec("dss_ray"), None
        if package and package.origin:
            root, sources = Path(package.origin).parent, hashlib.sha256()
            for path in sorted(root.rglob("*.py")):
                sources.update(str(path.relative_to(root)).encode() + path.read_bytes())
            code = sources.hexdigest()[:12]
        cache = os.environ.get("DSS_RAY_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        places = {"the folder": base, "the cache": Path(cache).expanduser()}
        try:
            import torch

            gpus = torch.cuda.device_count()
        except ImportError:
            gpus = 0
        versions = {name: version(name) for name in ("dss_ray", "ray", "torch", "numpy")}
        return {
            "versions": {"python": platform.python_version()} | versions,
            "code": code,
            "clock": time.time(),
            "folder": refused,
            "free": {name: shutil.disk_usage(existing(p)).free for name, p in places.items()},
            "absent": tuple(f for f in files if not (base / Path(f).expanduser()).exists()),
            "gpus": gpus,
        }

    return look
