"""Cluster files: those of Ray's launcher are checked, brought up and forwarded to this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from dss_ray.config.sweep import Resources
from dss_ray.errors import FileError, StoreError, UsageError
from dss_ray.tune.cluster import check_fit
from dss_ray.tune.jobs import Jobs, UnreachableError

PATIENCE = 120.0  # seconds until a head that is up answers
UNSET = "CHANGE_ME"
OTHERS = {  # how the rest is brought up
    "RayCluster": "kubectl apply -f {0}",
    "RayJob": "kubectl create -f {0}",
    ".sbatch": "sbatch {0}",
}


def check_cluster(path: Path, resources: Resources) -> dict[str, Any]:
    """The document of a file for Ray's launcher, some node of which can run a trial.

    Raises:
        FileError: if it cannot be read or has keys that Ray does not know.
        UsageError: if it is none, or no node fits.
    """
    try:
        text = path.read_text()
        document = {} if path.suffix == ".sbatch" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise FileError(f"--cluster {path}: cannot be read as a cluster file ({reason})") from None
    kind = document.get("kind", path.suffix) if isinstance(document, dict) else None
    if kind in OTHERS:
        raise UsageError(
            f"--cluster {path}: Ray's launcher does not bring this kind up; run "
            f"`{OTHERS[kind].format(path)}`, then join it with --address (see clusters/README.md)"
        )
    if not isinstance(document, dict) or "cluster_name" not in document:
        raise FileError(f"--cluster {path}: expected a file of Ray's launcher with cluster_name")
    if unset := [str(n) for n, line in enumerate(text.splitlines(), 1) if UNSET in line]:
        raise FileError(f"--cluster {path}: fill in {UNSET} in line {', '.join(unset)}")
    check_keys(path, document)
    types = document.get("available_node_types", {}).values()
    known = [one["resources"] for one in types if one.get("resources")]
    if known and len(known) == len(types):  # else Ray finds them out when a node is up
        try:
            check_fit(known, resources)
        except UsageError as error:
            raise UsageError(f"--cluster {path}: {error}") from None
    return document


def check_keys(path: Path, document: dict[str, Any]) -> None:
    """What Ray itself says against the file."""
    import jsonschema  # Ray's launcher needs it too, and passes over what it cannot check
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        validate_config(prepare_config(document))
    except jsonschema.ValidationError as error:
        place = ".".join(map(str, error.absolute_path))
        where = f"{place}: " if place else ""
        raise FileError(f"--cluster {path}: {where}{error.message}") from None
    except Exception as error:  # noqa: BLE001 - whatever it meets
        reason = " ".join(str(error).split())
        raise FileError(f"--cluster {path}: Ray refuses it ({reason})") from None


def ray_program() -> str:
    """Ray's command beside this Python."""
    return str(Path(sys.executable).with_name("ray"))


def nodes_of(document: dict[str, Any]) -> int:
    """How many nodes a cluster has at least."""
    types = document.get("available_node_types", {}).values()
    fixed = len(document["provider"].get("worker_ips", ()))
    return 1 + fixed + sum(int(one.get("min_workers", 0)) for one in types)


def bring_up(path: Path) -> None:
    """Create the cluster, or leave the one that runs as it is: a restart would end its sweeps.

    Raises:
        StoreError: if Ray's launcher fails; it has said why.
    """
    command = [ray_program(), "up", "-y", "--no-restart", str(path)]
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if code:
        raise StoreError(f"--cluster {path}: `ray up` ended with {code}, see above")


class Tunnel:
    """A way to the job server of a launched cluster, by a port of this machine.

    Args:
        path: of the cluster file.
    """

    def __init__(self, path: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        self.command = [ray_program(), "dashboard", str(path), "--port", self.port]
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def dig(self) -> None:
        """Open it, or open it again where the connection was lost."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # ssh is a child of its own
            )

    def close(self) -> None:
        """End it with all that belongs to it."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()

    def jobs(self) -> Jobs:
        """The job server, as soon as it answers.

        Raises:
            StoreError: if it does not.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.dig()
            try:
                return Jobs(self.address)
            except UnreachableError:
                time.sleep(1)
        raise StoreError(
            "no way to the head's job server by `ray dashboard`; if Ray is gone from the head, "
            "`ray up -y FILE` starts it again"
        )


@contextmanager
def forwarded(path: Path) -> Iterator[tuple[Jobs, Tunnel]]:
    """The job server of a launched cluster, and the way to it.

    Raises:
        StoreError: if it does not answer.
    """
    tunnel = Tunnel(path)
    try:
        yield tunnel.jobs(), tunnel
    finally:
        tunnel.close()
