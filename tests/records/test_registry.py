"""Champions in MLflow's registry, on a real store: who gets in, who gets the alias."""

import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from dss_ray.api import load_model, load_solver, sample
from dss_ray.bundle import save_bundle
from dss_ray.records.mlflow.recorder import SweepRecorder

NAME = "dss-digits-sit-5"
ROOT = Path(__file__).parents[2]
CLASSICAL = [4.0, 5.0, 6.1]
GRIDS = {"a": "uniform", "b": "cosine", "e": "uniform"}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store whose tables exist: making them costs seconds."""
    folder = tmp_path_factory.mktemp("store")
    opened(f"sqlite:///{folder}/mlflow.db")
    return folder / "mlflow.db"


@pytest.fixture
def folder(template, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(template.read_bytes())
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.rename_experiment(client.get_experiment_by_name("dss_ray").experiment_id, "template")
    return tmp_path


def opened(uri, name="sweep", resume=False):
    return SweepRecorder(
        name, swept=["nfe"], features="digits-cnn", constants={}, resume=resume, uri=uri
    )


@pytest.fixture
def sweep(folder, final):
    """Records a sweep of one solver and one classical one, and registers what is to be."""

    def run(key, values, *, classical=CLASSICAL, resume=False, uri=None, **more):
        own = {"model": "digits-sit", "grid": GRIDS[key], "samples": 500} | more
        ours = final(key, values, 1.0, trial=7, method="least-squares", seconds=1.0, evaluations=9,
                     bundle=f"trials/{key}/solver.json", **own)  # fmt: skip
        theirs = final("ab2", classical, 2.0, kind="classical", solver="ab2", **own)
        save_bundle(load_solver("ab2", 5, GRIDS[key]), folder / str(ours.bundle))
        store = opened(uri or f"sqlite:///{folder}/mlflow.db", f"sweep-{key}", resume)
        for row in (ours, theirs):
            store.finish(row)
        store.close([ours, theirs])
        return store, store.register([ours, theirs], folder)

    return run


def champion(store):
    return store.client.get_model_version_by_alias(NAME, "champion")


def versions(store):
    found = store.client.search_model_versions(f"name = '{NAME}'")
    return {version.version: version for version in found}


def test_a_solver_that_beats_the_classical_ones_becomes_the_champion(sweep):
    store, (one,) = sweep("a", [1.0, 2.0, 3.0])
    assert (one.name, one.version, one.champion) == (NAME, 1, True)
    version = champion(store)
    assert version.run_id == store.runs["a"] and version.tags["dss.key"] == "a"
    assert version.tags["sweep"] == "sweep-a" and version.tags["trial"] == "7"
    assert version.tags["fid_digits_cnn"] == "2.0000 ± 0.1000"
    assert version.tags["verdict"].startswith("better than ab2 (-3.0333 ± ")
    assert "FID[digits-cnn] 2.0000 ± 0.1000 with 5 queries" in version.description


@pytest.mark.parametrize("values", [[3.9, 5.1, 6.1], [5.0, 6.0, 7.1]], ids=["tied", "worse"])
def test_a_solver_that_does_not_beat_them_is_not_registered(sweep, values):
    store, found = sweep("a", values)
    assert found == [] and store.client.search_registered_models() == []


MOVES = {"better": [0.5, 1.4, 2.5], "tied": [0.9, 2.1, 3.0], "worse": [1.5, 2.6, 3.5]}


@pytest.mark.parametrize(("verdict", "values"), MOVES.items(), ids=MOVES)
def test_the_alias_moves_past_the_spread_only(sweep, verdict, values):
    sweep("a", [1.0, 2.0, 3.0])
    store, (second,) = sweep("b", values)
    assert second.version == 2 and second.standing.startswith(verdict)
    assert second.champion == (verdict == "better")
    assert int(champion(store).version) == (2 if verdict == "better" else 1)


OTHERWISE = {
    "other weights of digits-sit": {"fingerprint": "other"},
    "of 5,000 samples, not 500": {"samples": 5000},
    "on seeds 3, 4, 5, not 0, 1, 2": {"seeds": [3, 4, 5]},
    "measured from other statistics": {"reference": "other"},
}


@pytest.mark.parametrize(("reason", "more"), OTHERWISE.items(), ids=OTHERWISE)
def test_the_alias_stays_where_figures_cannot_be_compared(sweep, reason, more):
    sweep("a", [1.0, 2.0, 3.0])
    store, (second,) = sweep("b", [0.1, 0.2, 0.3], **more)
    assert second.standing == f"not comparable with version 1 ({reason})"
    assert int(champion(store).version) == 1


def test_a_champion_that_no_sweep_has_registered_keeps_its_alias(sweep):
    store, _ = sweep("a", [1.0, 2.0, 3.0])
    run = store.runs["a"]
    store.client.create_model_version(NAME, f"runs:/{run}/own", run)
    store.client.set_registered_model_alias(NAME, "champion", "2")
    _, (third,) = sweep("b", [0.5, 1.5, 2.5])
    assert not third.champion and "no sweep has measured" in third.standing


def test_resuming_registers_no_solver_twice(sweep):
    _, first = sweep("a", [1.0, 2.0, 3.0])
    store, again = sweep("a", [1.0, 2.0, 3.0], resume=True)
    assert first == again and len(versions(store)) == 1
    assert len(store.client.search_logged_models([store.experiment])) == 1


def test_another_sweep_that_finds_the_same_numbers_adds_no_version(sweep):
    sweep("a", [1.0, 2.0, 3.0])
    store, (same,) = sweep("e", [1.0, 2.0, 3.0])
    assert same.version == 1 and len(versions(store)) == 1


def test_resuming_leaves_an_alias_that_somebody_has_moved(sweep):
    sweep("a", [1.0, 2.0, 3.0])
    store, _ = sweep("b", MOVES["better"])
    store.client.set_registered_model_alias(NAME, "champion", "1")
    sweep("b", MOVES["better"], resume=True)
    assert int(champion(store).version) == 1


def test_a_registration_that_was_cut_short_is_finished(sweep):
    store, _ = sweep("a", [1.0, 2.0, 3.0])
    store.client.delete_model_version_tag(NAME, "1", "standing")
    store.client.delete_registered_model_alias(NAME, "champion")
    _, (again,) = sweep("a", [1.0, 2.0, 3.0], resume=True)
    assert again.champion and len(versions(store)) == 1


def test_the_sweeps_note_links_its_champions_and_shows_its_front(sweep):
    store, _ = sweep("a", [1.0, 2.0, 3.0])
    note = store.client.get_run(store.parent).data.tags["mlflow.note.content"]
    assert f"[{NAME} version 1, champion: the first one](#/models/{NAME}/versions/1)" in note
    assert f"![front.png](get-artifact?path=front.png&run_uuid={store.parent})" in note
    assert "better at 5 queries" in note


def test_a_name_that_the_registry_refuses_is_made_to_fit(sweep):
    store, (one,) = sweep("a", [1.0, 2.0, 3.0], model="my.module:build?path=/some/where.pt")
    assert one.name == "dss-my-module-build-5"
    version = store.client.get_model_version_by_alias(one.name, "champion")
    logged = store.client.get_logged_model(version.tags["dss.model"])
    assert logged.params["model"] == '"my.module:build?path=/some/where.pt"'


FRESH = """
import sys, mlflow, numpy as np
solver = mlflow.pyfunc.load_model("models:/dss-digits-sit-5@champion")
np.save("drawn.npy", solver.predict([3, 1, 4], params={"seed": 2}))
print(solver.unwrap_python_model().solver.table.nfe)
assert not any(name in sys.modules for name in ("ray", "optuna"))
"""


def loaded_elsewhere(folder, uri):
    """What a fresh process draws with the champion, and what it prints."""
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", FRESH],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return np.load(folder / "drawn.npy"), done.stdout.strip()


def drawn(grid):
    """What the package itself draws."""
    model = load_model("digits-sit")
    return sample(load_solver("ab2", 5, grid), model, seed=2, labels=[3, 1, 4]).numpy()


def test_the_champion_draws_the_packages_own_samples_in_a_fresh_process(sweep, folder):
    sweep("a", [1.0, 2.0, 3.0], fingerprint=load_model("digits-sit").fingerprint)
    images, printed = loaded_elsewhere(folder, f"sqlite:///{folder}/mlflow.db")
    assert printed == "5" and images.shape == (3, 1, 8, 8)
    assert np.array_equal(images, drawn(GRIDS["a"]))


@pytest.fixture
def logged(sweep, folder):
    """The folder of a champion as it is stored, of other weights than the shipped ones."""
    sweep("a", [1.0, 2.0, 3.0])
    (model,) = (folder / "mlartifacts" / "models").iterdir()
    return model / "artifacts"


def test_a_champion_is_code_and_json_alone(logged):
    files = {path.name for path in logged.rglob("*") if path.is_file()}
    assert {"served_solver.py", "solver.json", "MLmodel"} <= files
    assert not any(name.endswith((".pkl", ".pickle", ".bin")) for name in files)
    assert "dss_ray==" in (logged / "requirements.txt").read_text()


def test_labels_come_as_lists_arrays_or_tables(logged):
    served = mlflow.pyfunc.load_model(str(logged))
    asked = [3, 1, 4], np.array([3, 1, 4]), pd.DataFrame({"label": [3, 1, 4]})
    with pytest.warns(UserWarning, match="other weights"):
        one, *others = (served.predict(labels, params={"seed": 2}) for labels in asked)
    assert all(np.array_equal(one, other) for other in others)
    assert np.array_equal(one, drawn(GRIDS["a"]))


def test_a_label_that_the_model_lacks_is_refused(logged):
    with pytest.raises(ValueError, match="label 11: digits-sit has labels from 0 to 10"):
        mlflow.pyfunc.load_model(str(logged)).predict([3, 11])


def test_another_model_can_take_its_place(logged):
    other = {"model": "digits-flowdcn"}
    images = mlflow.pyfunc.load_model(str(logged), model_config=other).predict([3, 1, 4])
    own = load_solver("ab2", 5, GRIDS["a"])
    assert np.array_equal(images, sample(own, load_model("digits-flowdcn"), labels=[3, 1, 4]))


def crowned(sweep, folder, uri):
    """What a fresh process draws with the champion of two sweeps in the store at ``uri``."""
    weights = {"fingerprint": load_model("digits-sit").fingerprint}
    sweep("a", [1.0, 2.0, 3.0], uri=uri, **weights)
    store, (second,) = sweep("b", MOVES["better"], uri=uri, **weights)
    assert second.champion and int(champion(store).version) == 2
    images, _ = loaded_elsewhere(folder, uri)
    store.client.delete_registered_model(NAME)  # for the next test on the same database
    store.client.rename_experiment(store.experiment, str(folder))
    return images


@pytest.mark.slow
def test_a_tracking_server_keeps_champions(sweep, folder, postgres, free_port, mlflow_server):
    backend = postgres.url.replace("postgresql", "postgresql+psycopg")
    with mlflow_server(folder, free_port, backend) as address:
        assert np.array_equal(crowned(sweep, folder, address), drawn(GRIDS["b"]))


@pytest.mark.slow
def test_a_database_keeps_champions(sweep, folder, postgres, monkeypatch):
    monkeypatch.chdir(folder)  # artifacts go to the current folder
    uri = postgres.url.replace("postgresql", "postgresql+psycopg")
    assert np.array_equal(crowned(sweep, folder, uri), drawn(GRIDS["b"]))
