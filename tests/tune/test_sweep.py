"""A whole sweep on a real Ray cluster, killed and resumed, read back from its real databases."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from mlflow.tracking import MlflowClient

COMMAND = [str(Path(sys.executable).with_name("dss-ray"))]
SPACE = """
models: [digits-sit]
trials: 6
search:
  nfe: {choice: [3, 4]}
  guidance: {choice: [1.0, 1.2]}
  method: least-squares
  grid: {choice: [uniform, "power:1:1.2"]}
  samples: {choice: [32, 48]}
evaluation: {samples: 250, final_samples: 250, final_seeds: [0, 1]}
baselines: {methods: [euler, ab2], grids: [uniform], samples: 8, keep: 1}
"""


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start the sweep as a user would, in ``folder``."""
    (folder / "space.yaml").write_text(SPACE)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.Popen(
        [*COMMAND, "sweep", "space.yaml", "--name", "torture", "--json", *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(folder: Path) -> list[dict]:
    """The whole lines of the sweep's record."""
    path = folder / "runs" / "torture" / "rows.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stop_after(process: subprocess.Popen[str], folder: Path, count: int, how: int) -> str:
    """Send ``how`` once the record has ``count`` lines; returns what the sweep said."""
    deadline = time.monotonic() + 240
    while len(rows(folder)) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(how)
    return process.communicate(timeout=120)[1]


def study_states(folder: Path) -> Counter[str]:
    """How many trials of the study are in which state."""
    storage = f"sqlite:///{folder}/runs/torture/study.db"
    study = optuna.load_study(storage=storage, study_name="digits-sit")
    return Counter(trial.state.name for trial in study.trials)


def run_states(folder: Path) -> Counter[str]:
    """How many runs of MLflow are in which state."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return Counter(run.info.status for run in client.search_runs(ids))


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep that was interrupted, then killed, then resumed to its end."""
    folder = tmp_path_factory.mktemp("sweep")
    process = start(folder)
    said = stop_after(process, folder, 3, signal.SIGINT)
    assert process.returncode == 130, said
    assert study_states(folder)["RUNNING"] == run_states(folder)["RUNNING"] == 0, said
    process = start(folder, "--resume", "--set", "evaluation_budget=1")
    output, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    (folder / "spent.json").write_text(output)
    finished = len(rows(folder))
    process = start(folder, "--resume")
    stop_after(process, folder, finished + 4, signal.SIGKILL)
    process = start(folder, "--resume")
    output, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    (folder / "summary.json").write_text(output)
    return folder


def test_resumed_sweep_finishes_its_budget_and_repeats_nothing(resumed: Path) -> None:
    trials = [row for row in rows(resumed) if row["searched"] and not row["final"]]
    assert len(trials) == len({row["key"] for row in trials}) == 6
    once = Counter((row["key"], row["final"]) for row in rows(resumed))
    assert set(once.values()) == {1}


def test_a_spent_budget_ends_a_sweep_that_says_what_it_left(resumed: Path) -> None:
    summary = json.loads((resumed / "spent.json").read_text())
    assert summary["spent"] == "evaluation_budget"
    assert 0 < summary["left"] <= 10
    assert summary["trials"] < 6


def test_no_trial_stays_running_after_a_kill(resumed: Path) -> None:
    states = study_states(resumed)
    assert states["COMPLETE"] == 6
    assert set(states) <= {"COMPLETE", "FAIL"}
    assert set(run_states(resumed)) <= {"FINISHED", "KILLED"}


def test_tune_keeps_no_outcomes(resumed: Path) -> None:
    """Those of large images would fill the driver's memory."""
    states = list((resumed / "runs/torture/ray").glob("*/experiment_state-*.json"))
    assert states
    assert not any('"outcome' in state.read_text() for state in states)


def test_mlflow_holds_every_row_once_with_its_artifacts(resumed: Path) -> None:
    client = MlflowClient(f"sqlite:///{resumed}/mlflow.db")
    experiment = client.get_experiment_by_name("dss_ray")
    runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    keys = Counter(run.data.tags["dss.key"] for run in runs if "dss.key" in run.data.tags)
    assert keys == Counter({row["key"] for row in rows(resumed)})
    searched = [run for run in runs if run.data.tags.get("kind") == "searched"]
    for run in searched:
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert "solver.json" in files
        assert "finalist" not in run.data.tags or {"solver.png", "samples.png"} <= files
    assert any("finalist" in run.data.tags for run in searched)


def test_the_summary_names_the_best_of_each_kind(resumed: Path) -> None:
    summary = json.loads((resumed / "summary.json").read_text())
    assert (summary["name"], summary["trials"], summary["failed"]) == ("torture", 6, 0)
    best = {(row["nfe"], row["kind"]): row for row in summary["best"]}
    for nfe in (3, 4):
        assert best[nfe, "searched"]["rmse"] < best[nfe, "classical"]["rmse"]
        assert len(best[nfe, "searched"]["fid_values"]) == 2


def test_solvers_that_beat_every_classical_one_are_registered_once(resumed: Path) -> None:
    summary = json.loads((resumed / "summary.json").read_text())
    won = {row["nfe"]: row for row in summary["best"] if row["verdict"] == "better"}
    names = {f"dss-digits-sit-{nfe}": row for nfe, row in won.items()}
    assert {one["name"] for one in summary["registered"]} == set(names) != set()
    client = MlflowClient(f"sqlite:///{resumed}/mlflow.db")
    for one in summary["registered"]:
        version = client.get_model_version(one["name"], one["version"])
        assert version.tags["dss.key"] == names[one["name"]]["key"]
        assert client.get_run(version.run_id).data.tags["dss.key"] == version.tags["dss.key"]
        assert client.get_model_version_by_alias(one["name"], "champion")
        found = client.search_model_versions(f"name = '{one['name']}'")
        assert len({each.tags["dss.solver"] for each in found}) == len(found)


def test_a_name_in_use_is_refused_and_so_is_another_space(resumed: Path) -> None:
    again = start(resumed)
    said = again.communicate(timeout=60)[1]
    assert again.returncode == 2
    assert "--resume" in said
    assert "Traceback" not in said
    other = start(resumed, "--resume", "--set", "evaluation.samples=500")
    said = other.communicate(timeout=60)[1]
    assert other.returncode == 2
    assert "evaluation" in said
