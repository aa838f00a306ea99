import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

PATIENCE = 300  # seconds for whatever should happen soon on a busy machine
PORTS = range(7000, 10000)  # below those of Ray's workers


def free(start: int) -> int:
    """A port from ``start`` on that nobody listens on."""
    for port in range(start, PORTS.stop):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port
    raise OSError("no port is free")


class Cluster:
    """Ray nodes as real processes, each with an address of its own; a token is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.nodes = folder, dict[str, subprocess.Popen]()
        self.token = folder / "token"
        self.token.write_text(secrets.token_hex(32))
        start = PORTS.start + os.getpid() % 2000
        self.port = free(start)
        self.dashboard = free(self.port + 1)
        self.jobs = f"http://127.0.0.1:{self.dashboard}"
        self.address = f"127.0.0.1:{self.port}"

    def environment(self, **more: str) -> dict[str, str]:
        """Of a node, and of whoever talks to the cluster."""
        own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token)}
        own |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return os.environ | own | {"PATH": programs, "HOME": str(self.folder)} | more

    def start(
        self, host: str, *options: str, through: Sequence[str] = (), **variables: str
    ) -> None:
        """Start a node that says it is ``host``, perhaps through another command."""
        command = [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--block",
            "--num-cpus",
            "1",
        ]
        command += ["--node-ip-address", host, *options]
        command += ["--dashboard-agent-listen-port", "0"]  # else Ray's own, which others may hold
        with (self.folder / f"{host}.log").open("a") as log:
            self.nodes[host] = subprocess.Popen(
                [*through, *command],
                env=self.environment(**variables),
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    def head(self, **variables: str) -> None:
        """Start the head, with a job server."""
        options = ["--head", "--port", str(self.port), "--dashboard-port", str(self.dashboard)]
        self.start("127.0.0.1", *options, "--temp-dir", str(self.folder / "head"), **variables)
        self.until("")

    def add(self, host: str, through: Sequence[str] = (), **variables: str) -> None:
        """Start a worker node."""
        self.start(host, "--address", self.address, through=through, **variables)
        self.until(host)

    def living(self) -> str:
        """The addresses of the nodes that the cluster counts."""
        program = (
            "import ray; ray.init(address='auto', log_to_driver=False); "
            "print([n['NodeManagerAddress'] for n in ray.nodes() if n['Alive']])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=self.environment(RAY_ADDRESS=self.address, RAY_NUM_REDIS_GET_RETRIES="2"),
            cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout

    def until(self, host: str) -> None:
        """Wait until the cluster has a node of that address."""
        deadline = time.monotonic() + PATIENCE
        while not (found := self.living()) or host not in found:
            logs = "\n".join(path.read_text() for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, logs
            assert all(node.poll() is None for node in self.nodes.values()), logs
            time.sleep(0.5)

    def kill(self, host: str) -> None:
        """Kill a node at once: its raylet, whose end its workers notice."""
        node = self.nodes.pop(host)
        for child in children(node.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        node.kill()
        node.wait()

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes.values():
            node.terminate()
        for host, node in list(self.nodes.items()):
            try:
                node.wait(60)
            except subprocess.TimeoutExpired:
                self.kill(host)

    def run(self, *words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command of the package, by a user who has the token."""
        return subprocess.run(
            [str(Path(sys.executable).with_name("dss-ray")), *words],
            env=self.environment(**variables), cwd=cwd, capture_output=True, text=True, check=False,
        )  # fmt: skip


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    found = list[int]()
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if place.read_text().rpartition(")")[2].split()[1] == str(process):
                found.append(int(place.parent.name))
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head on this machine; the path of its sockets has to be short."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    (folder / "head").mkdir()
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
