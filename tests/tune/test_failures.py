"""A trial that diverges fails everywhere with its reason, and the sweep goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from mlflow.tracking import MlflowClient

MODEL = """
from dss_ray import load_model


class Fragile:
    name, sample_shape, num_classes = "fragile", (1, 8, 8), 10
    t_min, t_max, fingerprint, features = 0.0, 1.0, "fragile-1", "digits-cnn"

    def __init__(self):
        self.model = load_model("digits-sit")

    def __call__(self, x, t, label):
        velocity = self.model(x, t, label)
        return velocity * float("nan") if (label == 10).any() else velocity  # under guidance


def build():
    return Fragile()
"""
SPACE = """
models: ["fragile:build"]
trials: 2
search: {nfe: 3, guidance: {choice: [1.0, 1.5]}, method: least-squares, grid: uniform, samples: 32}
evaluation: {samples: 64, final_samples: 64, final_seeds: [0, 1]}
baselines: {methods: [euler], grids: [uniform], samples: 8, keep: 1}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep over a model that diverges under guidance."""
    folder = tmp_path_factory.mktemp("fragile")
    (folder / "fragile.py").write_text(MODEL)
    (folder / "space.yaml").write_text(SPACE)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DSS_RAY_CACHE": str(folder / "cache")}
    command = [str(Path(sys.executable).with_name("dss-ray")), "sweep", "space.yaml", "--json"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (folder / "summary.json").write_text(done.stdout)
    return folder


def test_the_sweep_goes_on_and_counts_the_failure(swept: Path) -> None:
    summary = json.loads((swept / "summary.json").read_text())
    assert (summary["trials"], summary["failed"]) == (2, 1)
    assert {row["guidance"] for row in summary["best"]} == {1.0}


def test_the_reason_is_in_the_rows_the_study_and_mlflow(swept: Path) -> None:
    rows = [json.loads(line) for line in (swept / "runs/space/rows.jsonl").read_text().splitlines()]
    (failed,) = [row for row in rows if row["searched"] and row["status"] == "failed"]
    assert "NaN" in failed["error"]
    study = optuna.load_study(
        storage=f"sqlite:///{swept}/runs/space/study.db", study_name="fragile:build"
    )
    assert [trial.state.name for trial in study.trials].count("FAIL") == 1
    assert study.user_attrs[f"error {failed['trial']}"] == failed["error"]
    client = MlflowClient(f"sqlite:///{swept}/mlflow.db")
    experiment = client.get_experiment_by_name("dss_ray")
    runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FAILED'")
    assert failed["error"] in {run.data.tags["error"] for run in runs}
