import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from dss_ray.errors import DssError, StoreError
from dss_ray.records.mlflow.recorder import SweepRecorder
from dss_ray.records.mlflow.store import tracking_uri
from dss_ray.records.run_fields import run_name

PARAMS = {"nfe": 5, "method": "gradient", "guidance": 1.5}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store whose tables exist: making them costs seconds."""
    folder = tmp_path_factory.mktemp("store")
    recorder(folder)
    return folder / "mlflow.db"


@pytest.fixture
def folder(template, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(template.read_bytes())
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.rename_experiment(client.get_experiment_by_name("dss_ray").experiment_id, "template")
    return tmp_path


def recorder(folder, name="sweep", **options):
    return SweepRecorder(
        name, swept=["nfe", "method", "guidance", "rate"], features="digits-cnn",
        constants={"seed": 0}, uri=f"sqlite:///{folder}/mlflow.db", **options,
    )  # fmt: skip


def run_of(recorder, key):
    return recorder.client.get_run(recorder.runs[key])


def test_a_trial_is_a_child_with_its_params_figures_and_files(folder, row):
    sweep = recorder(folder)
    (folder / "solver.json").write_text("{}")
    sweep.begin("k", PARAMS, run_name(7, PARAMS))
    assert run_of(sweep, "k").info.status == "RUNNING"
    done = row("k", trial=7, params=PARAMS, seconds=1.5)
    sweep.finish(done, {"a": [(0, 3.0), (1, 2.0)], "b": [(0, 1.0)]}, [folder / "solver.json"])
    run = run_of(sweep, "k")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "#007 nfe=5 gradient guidance=1.5")
    assert run.data.params == {"nfe": "5", "method": "gradient", "guidance": "1.5", "rate": "-"}
    assert run.data.tags["mlflow.parentRunId"] == sweep.parent and run.data.tags["seed"] == "0"
    figures = {"fid_digits_cnn": 2.0, "fid_samples": 100.0, "rmse": 0.1, "seconds": 1.5}
    assert run.data.metrics == figures | {"loss": 1.0}
    losses = sweep.client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in losses] == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert [f.path for f in sweep.client.list_artifacts(run.info.run_id)] == ["solver.json"]
    assert (folder / "mlartifacts" / run.info.run_id / "artifacts" / "solver.json").exists()


def test_a_failure_says_why(folder, row):
    sweep = recorder(folder)
    sweep.begin("k", PARAMS, "k")
    sweep.finish(row("k", fid=math.nan, rmse=None, params=PARAMS))
    run = run_of(sweep, "k")
    assert run.info.status == "FAILED" and run.data.metrics == {}
    assert "fid not finite" in run.data.tags["error"]
    assert "fid not finite" in run.data.tags["mlflow.note.content"]


def test_a_very_long_reason_is_cut_instead_of_refused(folder, row):
    sweep = recorder(folder)
    sweep.finish(row("k", status="failed", error="x" * 20000))
    assert run_of(sweep, "k").info.status == "FAILED"
    assert run_of(sweep, "k").data.tags["error"].startswith("xxxx")


def test_losses_that_are_not_finite_never_reach_the_store(folder, row):
    sweep = recorder(folder)
    sweep.finish(row("k"), {"a": [(0, math.nan), (1, math.inf), (2, 1.0)]})
    losses = sweep.client.get_metric_history(sweep.runs["k"], "loss")
    assert [(m.step, m.value) for m in losses] == [(2, 1.0)]


def test_a_long_history_is_thinned_to_its_last_loss(folder, row):
    sweep = recorder(folder)
    sweep.finish(row("k"), {"a": [(i, float(i)) for i in range(10001)]})
    losses = sweep.client.get_metric_history(sweep.runs["k"], "loss")
    assert 250 < len(losses) <= 500 and losses[-1].value == 10000


def test_the_saved_view_selects_the_finished_trials_best_first(folder, row):
    sweep = recorder(folder)
    for new in (row("b", fid=2.0), row("a", fid=1.0), row("f", status="failed", error="x")):
        sweep.finish(new)
    sweep.close([row("a"), row("b")])
    tags = sweep.client.get_experiment(sweep.experiment).tags
    state = json.loads(json.loads(tags["mlflow.sharedViewState.sweep"])["state"])
    order = [state["orderByKey"] + " ASC"]
    found = sweep.client.search_runs([sweep.experiment], state["searchFilter"], order_by=order)
    assert [run.data.tags["dss.key"] for run in found] == ["a", "b"]
    shown = {f"metrics.`{name}`" for name in found[0].data.metrics}
    assert "params.`nfe`" in state["selectedColumns"] and shown & set(state["selectedColumns"])


def test_a_finalist_keeps_its_selection_distance_beside_the_fresh_one(folder, row, final):
    sweep = recorder(folder)
    sweep.finish(row("k", fid=2.0))
    ended = run_of(sweep, "k").info.end_time
    sweep.finish(final("k", [3.0, 4.0], selection=2.0))
    run = run_of(sweep, "k")
    assert run.data.metrics["fid_digits_cnn"] == 2.0
    assert run.data.metrics["fid_digits_cnn_fresh"] == 3.5
    assert run.info.end_time == ended and len(sweep.children()) == 1


def test_resuming_finds_parent_and_trials_and_ends_what_was_killed(folder, row):
    killed = recorder(folder)
    killed.finish(row("done"))
    killed.begin("torn", PARAMS, "torn")
    sweep = recorder(folder, resume=True)
    assert (sweep.parent, sweep.runs) == (killed.parent, killed.runs)
    assert run_of(sweep, "torn").info.status == "KILLED"
    assert run_of(sweep, "done").info.status == "FINISHED"
    sweep.begin("torn", PARAMS, "torn")
    sweep.finish(row("torn", params=PARAMS))
    assert run_of(sweep, "torn").info.status == "FINISHED" and len(sweep.children()) == 2


def test_a_new_sweep_of_the_same_name_starts_afresh(folder):
    first, second = recorder(folder), recorder(folder)
    assert first.parent != second.parent
    assert recorder(folder, resume=True).parent == second.parent
    assert recorder(folder, "other", resume=True).parent not in (first.parent, second.parent)


def test_reconciling_leaves_other_sweeps_alone(folder):
    other = recorder(folder, "other")
    other.begin("k", PARAMS, "k")
    recorder(folder)
    assert run_of(other, "k").info.status == "RUNNING"
    assert other.reconcile() == 1 and other.reconcile() == 0


@pytest.mark.parametrize(("interrupted", "status"), [(False, "FINISHED"), (True, "KILLED")])
def test_closing_gives_the_parent_its_leaderboard(folder, interrupted, status, row):
    sweep, client = recorder(folder), MlflowClient(f"sqlite:///{folder}/mlflow.db")
    sweep.begin("torn", PARAMS, "torn")
    rows = [row("a", nfe=4), row("b"), row("c", kind="classical"), row("f", fid=math.inf)]
    sweep.close(rows, interrupted=interrupted)
    parent = client.get_run(sweep.parent)
    assert parent.info.status == status and run_of(sweep, "torn").info.status == "KILLED"
    assert {f.path for f in client.list_artifacts(sweep.parent)} == {"front.png", "leaderboard.csv"}
    assert "| searched a |" in parent.data.tags["mlflow.note.content"]
    assert (parent.data.metrics["trials_done"], parent.data.metrics["trials_failed"]) == (2, 1)
    front = client.get_metric_history(sweep.parent, "best_fid_digits_cnn/m/searched")
    assert [(m.step, m.value) for m in front] == [(4, 2.0), (5, 2.0)]


def test_the_store_is_the_environments_or_the_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert tracking_uri() == "http://tracking:5000"


@pytest.mark.parametrize("scheme", ["nosuch", "sqlite"])
def test_no_error_shows_a_password(scheme):
    uri = f"{scheme}://me:pa%20ss@host/db"
    with pytest.raises(StoreError) as caught:
        SweepRecorder("s", swept=[], features="f", constants={}, uri=uri)
    assert isinstance(caught.value, DssError) and caught.value.__suppress_context__
    assert "pa%20ss" not in str(caught.value) and "pa ss" not in str(caught.value)


def test_first_use_is_silent(tmp_path):
    code = (
        "from dss_ray.records.mlflow.recorder import SweepRecorder as S;"
        "S('s', swept=[], features='f', constants={}).close([])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {p.name for p in tmp_path.iterdir()} == {"mlflow.db", "mlartifacts"}


def test_importing_records_does_not_import_mlflow_or_matplotlib():
    code = (
        "import sys, dss_ray.records.mlflow.recorder, dss_ray.records.ui;"
        "assert not {'mlflow', 'matplotlib', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
