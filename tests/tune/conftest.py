import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_sweep(folder: Path, space: str, **variables: str) -> Path:
    """Sweep ``space`` to its end in ``folder`` by the command; summary.json is what it printed."""
    (folder / "space.yaml").write_text(space)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    environment |= variables
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
