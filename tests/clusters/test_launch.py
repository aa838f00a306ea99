"""A sweep on real Ray nodes, PostgreSQL and an MLflow server, launched from outside."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from mlflow.tracking import MlflowClient

pytestmark = pytest.mark.slow
SPACE = """
models: ["slow:Slow"]
sampler: grid
trials: 1000
search:
  nfe: {choice: [3, 4]}
  guidance: {choice: [1.0, 1.2]}
  method: least-squares
  grid: {choice: [uniform, cosine, "power:1:1.2"]}
  samples: {choice: [32, 24]}
evaluation: {samples: 500, final_samples: 500, final_seeds: [0, 1]}
baselines: {methods: [ab2], grids: [uniform], samples: 8, keep: 1}
"""
POINTS = 24


def test_a_launched_sweep_survives_a_lost_node_and_uses_a_new_one(
    cluster, postgres, free_port, mlflow_server, slow_model, last_rows, tmp_path
):
    home, shared, alone = tmp_path / "laptop", tmp_path / "shared", tmp_path / "alone"
    for folder in (home, alone):
        folder.mkdir()
        (folder / "space.yaml").write_text(SPACE)
        slow_model(folder)
    secret = postgres.url.rpartition("@")[0].rpartition(":")[2]
    public = postgres.url.replace(f":{secret}@", "@")
    with mlflow_server(tmp_path, free_port, f"sqlite:///{tmp_path}/mlflow.db") as tracker:
        stores = {"DSS_RAY_STORAGE": public, "MLFLOW_TRACKING_URI": tracker}
        cluster.head(PGPASSWORD="s3cr3t/w:rd")
        cluster.add("127.0.0.2")
        cluster.add("127.0.0.3")
        command = [str(Path(sys.executable).with_name("dss-ray")), "launch", "space.yaml"]
        command += ["--address", cluster.jobs, "--folder", str(shared), "--json"]
        with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
            launch = subprocess.Popen(
                command, cwd=home, env=cluster.environment(**stores), stdout=out, stderr=err
            )
        wait_for(lambda: written(shared) >= 4, launch, tmp_path / "err")
        cluster.kill("127.0.0.3")
        wait_for(lambda: written(shared) >= 8, launch, tmp_path / "err")
        cluster.add("127.0.0.4")
        assert launch.wait(900) == 0, (tmp_path / "err").read_text()
        said = (tmp_path / "err").read_text() + (tmp_path / "out").read_text()
        summary = json.loads((tmp_path / "out").read_text())
        done = cluster.run("leaderboard", "space", "--json", cwd=home)
        client = MlflowClient(tracker)
        runs = client.search_runs(["1"], max_results=1000)
    found = last_rows(home)
    assert found == last_rows(shared)
    assert sum(row["searched"] for row in found.values()) == POINTS
    assert all(row["status"] == "done" for row in found.values())
    assert json.loads(done.stdout) == summary["best"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags.get("dss.key") for run in runs} - {None} == set(found)
    driver = postgres.url.replace("postgresql", "postgresql+psycopg")
    (study,) = optuna.get_all_study_summaries(driver)
    trials = optuna.load_study(storage=driver, study_name=study.study_name).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * POINTS
    for place in (home, shared, cluster.folder):
        for path in (p for p in place.rglob("*") if p.is_file() and "sessions" not in p.parts):
            text = path.read_bytes()
            assert secret.encode() not in text, path
            assert b"s3cr3t/w:rd" not in text, path
    assert secret not in said
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [command[0], "sweep", "space.yaml"]
    subprocess.run(command, cwd=alone, env=environment, check=True, capture_output=True)
    assert found == last_rows(alone)


def written(folder: Path) -> int:
    """Lines of the record."""
    path = folder / "runs/space/rows.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(condition, process, log, seconds=600):
    """Until ``condition()`` holds while ``process`` runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
