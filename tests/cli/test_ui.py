"""The pages of MLflow and optuna-dashboard, as real processes that are asked over http."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import optuna
import psycopg
import pytest

from dss_ray.api import load_solver
from dss_ray.bundle import save_bundle
from dss_ray.records.mlflow.recorder import SweepRecorder
from dss_ray.records.rows import append_row

PROGRAM = str(Path(sys.executable).with_name("dss-ray"))


@pytest.fixture
def night(tmp_path, row):
    """A folder with a sweep that has a study and runs."""
    folder = tmp_path / "runs" / "night"
    append_row(folder / "rows.jsonl", row("k"))
    storage = f"sqlite:///{folder}/study.db"
    optuna.create_study(storage=storage, study_name="digits-sit")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    SweepRecorder("night", swept=["nfe"], features="digits-cnn", constants={}, uri=uri)
    return tmp_path


@contextmanager
def shown(folder, *options, **variables):
    """The addresses that ``dss-ray ui`` prints, by name, and its process."""
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | variables
    process = subprocess.Popen(
        [PROGRAM, "ui", *options], cwd=folder, env=environment, text=True,
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        found = {}
        for line in process.stderr:
            if line.startswith("Ctrl-C"):
                break
            name, _, address = line.partition(": ")
            found[name] = address.strip()
        yield found, process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def asked(address):
    return urlopen(address, timeout=30).read().decode()


def commands(session):
    """The command lines of all processes that ``session`` has started."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    family = {str(session)}
    for _ in rows:
        family |= {pid for pid, parent, *_ in rows if parent in family}
    return [row[-1] for row in rows if row[0] in family]


@pytest.mark.slow
def test_both_pages_answer_and_both_end_with_an_interrupt(night, free_port):
    with shown(night, "night", "--optuna", f"--port={free_port}") as (found, process):
        assert f"http://127.0.0.1:{free_port}/#/experiments/" in found["runs"]
        assert found["runs"].endswith("viewStateShareKey=night")
        base = found["runs"].partition("/#")[0]
        query = "ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=dss_ray"
        assert "sharedViewState.night" in asked(f"{base}/{query}")
        studies = json.loads(asked(found["studies"].replace("/dashboard/", "/api/studies")))
        assert [one["study_name"] for one in studies["study_summaries"]] == ["digits-sit"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        for address in (base, found["studies"]):
            with pytest.raises(URLError):
                asked(address)


@pytest.mark.slow
def test_databases_with_passwords_are_served_without_telling_them(night, postgres, free_port):
    """Both stores on a server, whose password no process shows and nothing prints."""
    server = postgres.url.rpartition("/")[0]
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE studies")
    shared = f"{server}/studies"
    optuna.create_study(
        storage=shared.replace("postgresql", "postgresql+psycopg"), study_name="shared"
    )
    uris = {
        "DSS_RAY_STORAGE": shared,
        "MLFLOW_TRACKING_URI": postgres.url.replace("postgresql", "postgresql+psycopg"),
    }
    with shown(night, "--optuna", f"--port={free_port}", **uris) as (found, process):
        studies = asked(found["studies"].replace("/dashboard/", "/api/studies"))
        assert "shared" in studies and asked(found["runs"].partition("/#")[0])
        lines = commands(process.pid)
        assert len(lines) >= 3 and not any("s3cr3t" in line for line in lines)
        assert "s3cr3t" not in str(found)
        process.send_signal(signal.SIGTERM)
        assert "s3cr3t" not in process.communicate(timeout=60)[1]


@pytest.mark.slow
def test_a_tracking_servers_own_pages_are_named(night, free_port, mlflow_server):
    with mlflow_server(night, free_port, f"sqlite:///{night}/mlflow.db") as address:
        uri = address.replace("http://", "http://me:s3cr3t@")
        done = subprocess.run(
            [PROGRAM, "ui"], cwd=night, env=os.environ | {"MLFLOW_TRACKING_URI": uri},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert f"runs:      {address}/#/experiments/" in done.stderr
    assert "viewStateShareKey=night" in done.stderr and "s3cr3t" not in done.stderr


@pytest.mark.slow
def test_one_database_cannot_be_both(night, postgres, free_port):
    """Optuna and MLflow keep the versions of their tables under one name."""
    uri = postgres.url.replace("postgresql", "postgresql+psycopg")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE one")
    both = uri.rpartition("/")[0] + "/one"
    optuna.create_study(storage=both)
    done = subprocess.run(
        [PROGRAM, "ui", f"--port={free_port}"], cwd=night, capture_output=True, text=True,
        env=os.environ | {"MLFLOW_TRACKING_URI": both}, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "s3cr3t" not in done.stderr
    assert "the MLflow store failed" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_browser_opens_runs_comparison_and_champions_without_errors(night, free_port, final):
    """In headless Chromium; what MLflow's own pages miss on its server is theirs."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    errors = []
    with shown(night, "night", f"--port={free_port}") as (found, _), sync_playwright() as play:
        base, experiment = found["runs"].partition("/#")[0], crowned(night, final)
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("response", lambda r: r.status >= 400 and errors.append(r.url))
        runs = json.dumps(experiment["runs"])
        addresses = {
            found["runs"]: "#001 nfe=5",
            f"{found['runs']}&compareRunsMode=CHART": "Parallel Coordinates",
            f"{base}/#/compare-runs?runs={runs}&experiments={json.dumps(experiment['ids'])}":
                "Parallel Coordinates Plot",
            f"{base}/#/models/dss-m-5": "champion",
            f"{base}/#/models/dss-m-5/versions/1": "FID[digits-cnn] 2.0000",
        }  # fmt: skip
        for address, text in addresses.items():
            page.goto(address)
            page.get_by_text(text).first.wait_for()
        browser.close()
    assert [url for url in errors if "users/current" not in url] == []


def crowned(folder, final):
    """Records two trials of which one becomes a champion; the runs and experiments."""
    rows = [final("a", [1.0, 2.0, 3.0], 1.0, trial=1, method="x", seconds=1.0, evaluations=1,
                  params={"nfe": 5}, grid="g", bundle="trials/a/solver.json"),
            final("b", [1.5, 2.5, 3.5], 2.0, trial=2, params={"nfe": 5}),
            final("c", [2.0, 3.0, 4.1], 2.0, kind="classical", solver="ab2", grid="g")]  # fmt: skip
    save_bundle(load_solver("ab2", 5), folder / "trials/a/solver.json")
    uri = f"sqlite:///{folder}/mlflow.db"
    store = SweepRecorder("night", swept=["nfe"], features="digits-cnn", constants={}, uri=uri)
    for row in rows:
        store.finish(row)
    store.close(rows)
    assert [one.champion for one in store.register(rows, folder)] == [True]
    return {"runs": [store.runs["a"], store.runs["b"]], "ids": [store.experiment]}


def test_a_port_in_use_is_one_sentence(run, free_port):
    from socket import socket

    with socket() as other:
        other.bind(("127.0.0.1", free_port))
        other.listen()
        ended = run("ui", f"--port={free_port}")
    assert ended.code == 2 and f"port {free_port} of 127.0.0.1" in ended.sentence


def test_a_sweep_without_a_study_is_one_sentence(run, row):
    append_row(Path("runs/night/rows.jsonl"), row("k"))
    ended = run("ui", "night", "--optuna")
    assert ended.code == 2 and "no sweep in ./runs has a study yet" in ended.sentence
    Path("runs/other").mkdir()
    Path("runs/other/study.db").touch()
    ended = run("ui", "night", "--optuna")
    assert ended.code == 2 and "sweep with a study 'night'" in ended.sentence


def test_an_unknown_sweep_is_one_sentence(run, row):
    append_row(Path("runs/night/rows.jsonl"), row("k"))
    ended = run("ui", "nihgt")
    assert ended.code == 2 and "did you mean 'night'" in ended.sentence


def test_an_absent_dashboard_names_the_command_that_installs_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    ended = run("ui", "--optuna")
    assert ended.code == 2 and "pip install 'dss_ray[dashboard]'" in ended.sentence
