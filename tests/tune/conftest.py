import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "s3cr3t/w:rd"
QUOTED = "s3cr3t%2Fw%3Ard"


def run_sweep(folder: Path, space: str) -> Path:
    """Sweep ``space`` to its end in ``folder`` by the command; summary.json is what it printed."""
    (folder / "space.yaml").write_text(space)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DSS_RAY_CACHE": str(folder / "cache")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [str(Path(sys.executable).with_name("dss-ray")), "sweep", "space.yaml", "--json"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (folder / "summary.json").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def sweep_in():
    """Runs a sweep in a folder, as a user would."""
    return run_sweep


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
