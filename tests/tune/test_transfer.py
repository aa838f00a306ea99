"""A transfer between two small models, by the command, in an empty folder."""

import json

import pytest
from mlflow.tracking import MlflowClient

from dss_ray.api import load_solver
from dss_ray.bundle import save_bundle
from dss_ray.cli.app import app
from dss_ray.config.sweep import Baselines
from dss_ray.config.transfer import transfer_settings
from dss_ray.errors import UsageError
from dss_ray.models.zoo import load_model
from dss_ray.records.rows import read_rows
from dss_ray.records.transfer import SOURCE
from dss_ray.tune import transfer
from dss_ray.tune.transfer import Transfer, run_transfer

FEW = Baselines(methods=("euler", "ab2", "dpmpp2m"), grids=("uniform", "edm"), samples=8, keep=1)
SETTINGS = {
    "name": "small",
    "models": ["digits-sit", "digits-dit"],
    "nfe": [5],
    "method": "least-squares",
    "samples": 64,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("transfer")


@pytest.fixture(scope="module")
def rows(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(transfer, "BASELINES", FEW)
        return run_transfer(transfer_settings(SETTINGS), lambda *_: None)


def test_every_solver_is_measured_on_every_model(rows):
    places = {(row.model, row.params[SOURCE]) for row in rows}
    origins = {"digits-sit", "digits-dit", "flow-sit", "flow-dcn", "vp-dit", "classical"}
    assert places == {(model, source) for model in SETTINGS["models"] for source in origins}
    assert all(row.nfe == 5 and row.samples == 64 and row.rmse > 0 for row in rows)


def test_a_solver_at_home_beats_the_classical_one(rows):
    rmse = {(row.model, row.params[SOURCE]): row.rmse for row in rows}
    for model in SETTINGS["models"]:
        assert rmse[model, model] < rmse[model, "classical"]


def test_rows_pictures_and_solvers_are_kept_and_handed_to_the_tracker(folder, rows):
    home = folder / "runs" / "small"
    assert read_rows(home / "rows.jsonl") == rows
    assert len(list((home / "bundles").glob("*.json"))) == 2
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    runs = client.search_runs(["1"])
    parent = next(run for run in runs if run.info.run_name == "small")
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"transfer-rmse.png", "transfer-fid.png", "rows.jsonl"} <= names
    cells = [run for run in runs if run.data.params]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.params[SOURCE] for run in cells} >= {"digits-sit", "flow-sit"}
    assert len(cells) == len(rows)


def test_resuming_computes_nothing_again_and_fills_what_is_missing(folder, rows, monkeypatch):
    monkeypatch.chdir(folder)
    path = folder / "runs" / "small" / "rows.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:40])  # killed while it wrote a row
    monkeypatch.setattr(transfer, "BASELINES", FEW)
    told = []
    again = run_transfer(
        transfer_settings(SETTINGS), lambda *counts: told.append(counts), resume=True
    )
    assert again == rows
    assert sorted(path.read_bytes().splitlines()) == sorted(line.strip() for line in lines)
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_an_existing_name_and_other_settings_are_refused(folder, rows, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match="--resume"):
        run_transfer(transfer_settings(SETTINGS), lambda *_: None)
    with pytest.raises(UsageError, match=r"samples was \d+ and is"):
        run_transfer(transfer_settings(SETTINGS | {"samples": 65}), lambda *_: None, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": ["digits-stt"]}, "did you mean 'digits-sit'"),
        ({"models": []}, "--models"),
        ({"samples": 3}, "--samples"),
        ({"method": "magic"}, "--method: unknown search method"),
        ({"solvers": ["nowhere.json"]}, "nowhere.json"),
        ({"nfe": [5, 5]}, "--nfe"),
        ({"name": "../out"}, "--name"),
    ],
)
def test_bad_options_are_named(change, message):
    with pytest.raises(UsageError, match=message):
        transfer_settings(SETTINGS | change)


def test_bundles_whose_home_is_none_of_the_models_are_told(tmp_path, caplog):
    model, path = load_model("digits-sit"), tmp_path / "solver.json"
    for fingerprint in (model.fingerprint, "cd" * 32):
        home = {"model": "digits-sit", "model_fingerprint": fingerprint}
        save_bundle(load_solver("ab2", 5).model_copy(update=home), path)
        settings = transfer_settings(SETTINGS | {"solvers": [str(path)]})
        Transfer(settings, tmp_path, lambda *_: None).solvers()
    (record,) = caplog.records
    assert "digits-sit (weights cdcdcdcd), which is none of --models" in record.getMessage()


def test_given_bundles_are_measured_in_place_of_searches(folder, rows, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(transfer, "BASELINES", FEW)
    bundle = next((folder / "runs" / "small" / "bundles").glob("*.json"))
    arguments = ["transfer", str(bundle), "--models", "digits-sit", "--samples", "64", "--json"]
    assert app([*arguments, "--name", "given"], standalone_mode=False) in (0, None)
    found = json.loads(capsys.readouterr().out)
    assert sum(row["searched"] for row in found) == 1
    assert {row["model"] for row in found} == {"digits-sit"}
