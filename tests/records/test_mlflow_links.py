import pytest

from dss_ray.errors import StoreError
from dss_ray.records.mlflow.links import run_pages
from dss_ray.records.mlflow.recorder import IDENTITY, SweepRecorder


def record(row, identity, *keys, uri):
    """A sweep of the name "night" whose last trial still runs."""
    sweep = SweepRecorder(
        "night", swept=["nfe"], features="f", constants={IDENTITY: identity}, uri=uri
    )
    for key in keys:
        sweep.finish(row(key))
    sweep.begin("running", {}, "")
    return sweep


@pytest.fixture(scope="module")
def store(tmp_path_factory, row):
    """A store that is a file, with two sweeps of one name."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('a store')}/mlflow.db"
    return uri, record(row, "one", "a", "b", uri=uri), record(row, "two", "a", uri=uri)


def test_each_trial_and_the_sweep_lead_to_their_own_runs(store, monkeypatch):
    uri, own, other = store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    base = f"http://127.0.0.1:5000/#/experiments/{own.experiment}/runs/"
    runs = own.runs | {"": own.parent}
    assert run_pages("night", "one") == {key: base + run for key, run in runs.items()}
    assert run_pages("night", "two")["a"].endswith(other.runs["a"])
    assert run_pages("day", "one") == {}
    status = own.client.get_run(own.runs["running"]).info.status
    assert status == "RUNNING"  # looking ends nothing


def test_without_an_identity_the_newest_sweep_of_the_name_counts(store, monkeypatch):
    uri, _, other = store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert run_pages("night", None)["a"].endswith(other.runs["a"])


def test_where_there_is_no_store_none_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(StoreError, match="no MLflow store here"):
        run_pages("night", None)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_store_is_said(tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").write_bytes(b"nonsense" * 200)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(StoreError, match="cannot be read"):
        run_pages("night", None)


@pytest.mark.slow
def test_addresses_of_a_server_are_its_own_and_show_no_password(
    mlflow_server, tmp_path, monkeypatch, row, free_port
):
    with mlflow_server(tmp_path, free_port, f"sqlite:///{tmp_path}/server.db") as address:
        uri = address.replace("//", "//me:secret@")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        sweep = record(row, "one", "a", uri=uri)
        found = run_pages("night", "one")
    assert found["a"] == f"{address}/#/experiments/{sweep.experiment}/runs/{sweep.runs['a']}"


@pytest.mark.parametrize("uri", ["databricks", "http://127.0.0.1:9/x"])
def test_a_store_without_pages_or_out_of_reach_is_said(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreError):
        run_pages("night", None)
