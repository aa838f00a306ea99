"""The records of a sweep while its tracker refuses to write."""

import json
import sqlite3
import time
from contextlib import closing

import pytest
from mlflow.tracking import MlflowClient

from dss_ray.api import load_solver
from dss_ray.bundle import save_bundle
from dss_ray.config.sweep import Baselines, SweepSettings
from dss_ray.records.lineage import trial_run
from dss_ray.records.rows import Row, read_rows
from dss_ray.tune import recorder as module
from dss_ray.tune.finalists import finalists
from dss_ray.tune.recorder import Recorder
from dss_ray.tune.searcher import Delivery

SETTINGS = SweepSettings(
    name="refused",
    models=("digits-sit",),
    baselines=Baselines(methods=("ab2",), grids=("uniform",)),
    search={"nfe": {"choice": [4, 5]}},
)


def row(key):
    return Row(
        key=key,
        trial=int(key),
        status="done",
        model="digits-sit",
        nfe=4,
        kind="searched",
        searched=True,
        solver=f"solver-{key}",
        guidance=1.0,
        fid=float(key),
        features="digits-cnn",
        samples=1000,
    )


def recorded(database):
    """Keys, states and distances of the finished trials in the tracker."""
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("dss_ray")
    runs = client.search_runs([experiment.experiment_id])
    return sorted(
        (run.data.tags["dss.key"], run.info.status, run.data.metrics["fid_digits_cnn"])
        for run in runs
        if "dss.key" in run.data.tags and run.info.status != "RUNNING"
    )


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_nothing_is_missing_after_a_server_was_away(
    tmp_path, monkeypatch, free_port, mlflow_server
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port}")
    monkeypatch.setattr(module, "AGAIN", 2.0)
    (tmp_path / "manifest.json").write_text(json.dumps({"id": "some", "settings": {}}))
    database = tmp_path / "mlflow.db"
    serving = tmp_path, free_port, f"sqlite:///{database}"
    with mlflow_server(*serving):
        recorder = Recorder(tmp_path, SETTINGS, resume=False)
        recorder.write(row("1"))
        wait_for(lambda: recorder.store and len(recorded(database)) == 1)
    recorder.write(row("2"))
    wait_for(lambda: recorder.failure)
    recorder.write(row("3"))
    assert str(recorder.failure).startswith("the MLflow store failed")
    with mlflow_server(*serving):
        time.sleep(module.AGAIN)
        recorder.write(row("4"))
        wait_for(lambda: recorder.failure is None)
        recorder.close(interrupted=False)
    rows = read_rows(tmp_path / "rows.jsonl")
    assert recorded(database) == [(one.key, "FINISHED", one.fid) for one in rows]
    assert len(rows) == 4


@pytest.mark.parametrize("back", ["before the next trial", "at the end"])
def test_nothing_is_missing_after_the_tracker_was_away(tmp_path, monkeypatch, back):
    database = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}?timeout=1")
    monkeypatch.setattr(module, "AGAIN", 0.1 if back == "before the next trial" else 1e6)
    (tmp_path / "manifest.json").write_text(json.dumps({"id": "some", "settings": {}}))
    recorder = Recorder(tmp_path, SETTINGS, resume=False)
    recorder.write(row("1"))
    wait_for(lambda: database.exists() and recorder.tasks.empty() and recorder.store)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        wait_for(lambda: len(recorded(database)) == 1)
        other.execute("BEGIN EXCLUSIVE")
        recorder.write(row("2"))
        wait_for(lambda: recorder.failure)
        recorder.write(row("3"))
        other.execute("ROLLBACK")
    if back == "before the next trial":
        time.sleep(2 * module.AGAIN)
        recorder.write(row("4"))
        wait_for(lambda: recorder.failure is None)
    recorder.close(interrupted=False)
    assert recorder.failure is None
    rows = read_rows(tmp_path / "rows.jsonl")
    assert recorded(database) == [(one.key, "FINISHED", one.fid) for one in rows]
    assert len(rows) >= 3
    client = MlflowClient(f"sqlite:///{database}")
    for one in rows:  # the sweep's folder tells each trial's run
        assert client.get_run(trial_run(tmp_path, one.key)).data.tags["dss.key"] == one.key


def test_the_tracker_waits_while_trials_end_but_not_for_ever(tmp_path, monkeypatch):
    database = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    monkeypatch.setattr(module, "LAG", 3.0)
    (tmp_path / "manifest.json").write_text(json.dumps({"id": "some", "settings": {}}))
    recorder = Recorder(tmp_path, SETTINGS, resume=False)
    recorder.write(row("1"))
    wait_for(lambda: recorder.tasks.empty() and database.exists() and len(recorded(database)) == 1)
    delivery = Delivery({}, {}, recorder.calm)
    delivery.on_trial_result(1, [], None, {})
    delivery.on_step_end(1, [])
    began = time.monotonic()
    recorder.write(row("2"))
    assert [one.key for one in read_rows(tmp_path / "rows.jsonl")] == ["1", "2"]
    wait_for(lambda: len(recorded(database)) == 2)
    assert time.monotonic() - began > 3
    recorder.write(row("3"))
    delivery.on_step_end(2, [])  # nothing happened in this step
    recorder.close(interrupted=False)
    assert len(recorded(database)) == 3


def test_those_that_lead_when_they_end_include_all_finalists(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    (tmp_path / "manifest.json").write_text(json.dumps({"id": "some", "settings": {}}))
    recorder, led = Recorder(tmp_path, SETTINGS, resume=False), []
    for key in ("3", "5", "2", "4", "1"):
        recorder.write(row(key))
        led += [key] * recorder.leads(row(key))
    recorder.close(interrupted=False)
    assert led == ["3", "2", "1"]
    assert {one.key for one in finalists(recorder.rows.values(), SETTINGS.evaluation)} <= set(led)


@pytest.fixture
def winners(final, tmp_path):
    """A searched solver that beats the classical one, with their files."""
    own = {"model": "digits-sit", "grid": "uniform", "samples": 500, "seconds": 1.0}
    rows = [
        final("1", [1.0, 2.0, 3.0], 1.0, trial=1, evaluations=5, bundle="1/solver.json", **own),
        final("c", [2.0, 3.0, 4.1], 2.0, kind="classical", bundle="c/solver.json", **own),
    ]
    for one in rows:
        save_bundle(load_solver("ab2", 5), tmp_path / str(one.bundle))
    return rows


def test_champions_are_registered_once_the_registry_is_back(tmp_path, monkeypatch, winners):
    database = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    (tmp_path / "manifest.json").write_text(json.dumps({"id": "some", "settings": {}}))
    recorder = Recorder(tmp_path, SETTINGS, resume=False)
    for one in winners:
        recorder.write(one)
    wait_for(lambda: database.exists() and recorder.store and len(recorded(database)) == 2)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("ALTER TABLE registered_models RENAME TO away")
        recorder.close(interrupted=False)
        other.execute("ALTER TABLE away RENAME TO registered_models")
    assert recorder.failure and recorder.registered == []
    for _ in range(2):
        again = Recorder(tmp_path, SETTINGS, resume=True)
        again.close(interrupted=False)
        assert [(one.name, one.version) for one in again.registered] == [("dss-digits-sit-5", 1)]
    assert len(MlflowClient(f"sqlite:///{database}").search_model_versions()) == 1


def test_an_interrupted_sweep_registers_nothing_yet(tmp_path, monkeypatch, winners):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "manifest.json").write_text(json.dumps({"id": "some", "settings": {}}))
    recorder = Recorder(tmp_path, SETTINGS, resume=False)
    for one in winners:
        recorder.write(one)
    recorder.close(interrupted=True)
    assert recorder.failure is None and recorder.registered == []
