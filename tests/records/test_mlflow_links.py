import pytest

from dss_ray.errors import StoreError
from dss_ray.records.mlflow.links import run_pages
from dss_ray.records.mlflow.recorder import IDENTITY, SweepRecorder


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "mlflow.db"


def record(row, identity, *keys):
    sweep = SweepRecorder("night", swept=["nfe"], features="f", constants={IDENTITY: identity})
    for key in keys:
        sweep.finish(row(key))
    sweep.close([])
    return sweep


def test_each_trial_and_the_sweep_lead_to_their_own_runs(store, row):
    own, other = record(row, "one", "a", "b"), record(row, "two", "a")
    found = run_pages("night", "one")
    base = f"http://127.0.0.1:5000/#/experiments/{own.experiment}/runs/"
    assert found == {key: base + own.runs[key] for key in "ab"} | {"": base + own.parent}
    assert run_pages("night", "two")["a"].endswith(other.runs["a"])
    assert run_pages("day", "one") == {}


def test_looking_ends_no_run_and_makes_no_store(store, row):
    with pytest.raises(StoreError, match="no MLflow store here"):
        run_pages("night", None)
    assert not store.exists()
    sweep = record(row, "one")
    sweep.begin("a", {}, "")
    assert "a" in run_pages("night", None)
    assert sweep.client.get_run(sweep.runs["a"]).info.status == "RUNNING"


def test_addresses_of_a_server_are_its_own_and_show_no_password(
    mlflow_server, tmp_path, monkeypatch, row, free_port
):
    with mlflow_server(tmp_path, free_port, f"sqlite:///{tmp_path}/server.db") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("//", "//me:secret@"))
        sweep = record(row, "one", "a")
        found = run_pages("night", "one")
    assert found["a"] == f"{address}/#/experiments/{sweep.experiment}/runs/{sweep.runs['a']}"


@pytest.mark.parametrize("uri", ["databricks", "http://127.0.0.1:9/x"])
def test_a_store_without_pages_or_out_of_reach_is_said(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreError):
        run_pages("night", None)
