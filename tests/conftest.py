import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from dss_ray.records.rows import Row

PASSWORD = "s3cr3t/w:rd"
QUOTED = "s3cr3t%2Fw%3Ard"
SLOW_MODEL = """
import time

from dss_ray import load_model


class Slow:
    name, sample_shape, num_classes = "slow", (1, 8, 8), 10
    t_min, t_max, fingerprint, features = 0.0, 1.0, "slow-1", "digits-cnn"
    guided_channels = None

    def __init__(self):
        self.model = load_model("digits-sit")

    def __call__(self, x, t, label):
        time.sleep(0.05)
        return self.model(x, t, label)
"""
TIMES = {"seconds", "reference_seconds", "network_seconds", "worker_seconds"}
PATIENCE = 300  # seconds for a server to answer on a busy machine


def make_row(key: str = "a", **values: Any) -> Row:
    kind = values.get("kind", "searched")
    base = {"status": "done", "model": "m", "nfe": 5, "kind": kind, "solver": f"{kind} {key}"}
    more = {"guidance": 1.0, "features": "digits-cnn", "samples": 100, "fid": 2.0, "rmse": 0.1}
    return Row(**({"key": key} | base | more | values))


def make_final(key: str, values: list[float], selection: float, **more: Any) -> Row:
    mean = sum(values) / len(values)
    figures = {"fid": mean, "fid_values": values, "fid_spread": 0.1, "selection_fid": selection}
    figures |= {"seeds": list(range(len(values))), "fingerprint": "w", "reference": "r"}
    return make_row(key, final=True, **(figures | more))


@pytest.fixture
def row():
    """Makes rows of a made-up sweep."""
    return make_row


@pytest.fixture
def final():
    """Makes rows that were evaluated again on fresh seeds."""
    return make_final


@pytest.fixture(scope="session")
def slow_model():
    """Writes the module of a model that takes its time, ``slow:Slow``, into a folder."""
    return lambda folder: (folder / "slow.py").write_text(SLOW_MODEL)


@pytest.fixture(scope="session")
def last_rows():
    """Reads the last row of each key of the sweep "space", without what a clock measured."""

    def read(folder: Path) -> dict[str, dict]:
        lines = (folder / "runs/space/rows.jsonl").read_text().splitlines()
        found = {row["key"]: row for row in map(json.loads, lines)}
        return {key: {k: v for k, v in row.items() if k not in TIMES} for key, row in found.items()}

    return read


def find_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Postgres:
    """A PostgreSQL server that can be stopped and started; roles need their passwords."""

    programs: Path
    data: Path
    port: int
    user: str | None

    @property
    def url(self) -> str:
        """With the password, which has characters that need quoting."""
        return f"postgresql://owner:{QUOTED}@127.0.0.1:{self.port}/postgres"

    def do(self, program: str, *options: str) -> None:
        """Run one of PostgreSQL's programs, which refuse to be root."""
        command = [str(self.programs / program), "-D", str(self.data), *options]
        subprocess.run(
            command, user=self.user, cwd=self.data.parent, check=True, capture_output=True
        )

    def start(self) -> None:
        """Until it answers."""
        options = f"-p {self.port} -k {self.data} -c listen_addresses=127.0.0.1 -c fsync=off"
        command = ["start", "-w", "-o", options, "-l", str(self.data / "log")]
        self.do("pg_ctl", *command)

    def stop(self) -> None:
        """At once, connections or not."""
        self.do("pg_ctl", "stop", "-m", "immediate")


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return find_port()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server of its own, of the system's PostgreSQL."""
    found = shutil.which("pg_ctl")
    places = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not places:
        pytest.skip("PostgreSQL is not installed")
    data = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(data, user)
    (data / "password").write_text(PASSWORD)
    (data / "password").chmod(0o644)
    cluster = Postgres(places[-1].parent, data / "cluster", find_port(), user)
    cluster.do("initdb", "-U", "owner", "-A", "scram-sha-256", "--pwfile", str(data / "password"))
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(data)


@contextmanager
def serve_mlflow(folder: Path, port: int, backend: str) -> Iterator[str]:
    """An MLflow server with its artifacts in ``folder``; gives its address, ends at once."""
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", backend]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    lean = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = os.environ | lean
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(port):
            assert time.monotonic() < deadline
            assert process.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    """Whether a server at ``port`` is well."""
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
        return reply.status == 200
    return False


@pytest.fixture(scope="session")
def mlflow_server():
    """Serves MLflow over HTTP."""
    return serve_mlflow
