"""Studies in a database of their own and in PostgreSQL."""

import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import optuna
import pytest

from dss_ray.config.space import parse_space
from dss_ray.errors import FileError, StoreError, UsageError
from dss_ray.tune.samplers import Chooser
from dss_ray.tune.storage import (
    TRACKING,
    VARIABLE,
    check_shared,
    open_storage,
    public_name,
    public_variables,
    translated,
)
from dss_ray.tune.study import Study

PASSWORD = "s3cr3t"
SPACE = parse_space({"nfe": {"choice": [3, 4]}, "ridge": {"range": [1e-6, 1e-2]}}, "search")


def proposals(folder, name, row, count=14):
    """What a study proposes, its figures made up, opened again before each."""
    found = []
    for _ in range(count):
        study = Study(open_storage(folder), name, SPACE, Chooser())
        number, values = study.ask(lambda _: False)
        found.append(values)
        study.complete(number, row(nfe=values["nfe"], fid=values["ridge"]))
    return found


def test_postgresql_proposes_what_a_file_does(tmp_path, monkeypatch, postgres, row):
    own = proposals(tmp_path, "a model", row)
    monkeypatch.setenv(VARIABLE, postgres.url)
    assert proposals(tmp_path, "a model", row) == own
    assert proposals(tmp_path, "another", row, 2) == own[:2]
    summaries = optuna.get_all_study_summaries(open_storage(tmp_path))
    assert {one.study_name: one.n_trials for one in summaries} == {"a model": 14, "another": 2}


@pytest.mark.parametrize("kind", ["a file", "PostgreSQL"])
def test_optuna_dashboard_opens_a_study(tmp_path, monkeypatch, postgres, free_port, row, kind):
    url = f"sqlite:///{tmp_path}/study.db"
    if kind == "PostgreSQL":
        monkeypatch.setenv(VARIABLE, postgres.url)
        url = postgres.url.replace("postgresql", "postgresql+psycopg")
    study = Study(open_storage(tmp_path), "shown", SPACE, Chooser())
    number, values = study.ask(lambda _: False)
    study.complete(number, row(nfe=values["nfe"], fid=0.25))
    program = Path(sys.executable).with_name("optuna-dashboard")
    server = subprocess.Popen([program, url, "--port", str(free_port)], stderr=subprocess.DEVNULL)
    try:
        studies = fetched(f"http://127.0.0.1:{free_port}/api/studies")["study_summaries"]
        shown = next(one["study_id"] for one in studies if one["study_name"] == "shown")
        found = fetched(f"http://127.0.0.1:{free_port}/api/studies/{shown}?after=0")
        assert found["trials"][0]["values"] == [values["nfe"], 0.25]
    finally:
        server.kill()
        server.wait()


def fetched(address):
    """The JSON document at an address that a server may not serve yet."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(address, timeout=10) as reply:
                return json.load(reply)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_server_that_was_away_between_two_trials_is_found_again(
    tmp_path, monkeypatch, postgres, row
):
    monkeypatch.setenv(VARIABLE, postgres.url)
    study = Study(open_storage(tmp_path), "away", SPACE, Chooser())
    number, _ = study.ask(lambda _: False)
    study.flush()
    postgres.stop()
    postgres.start()
    study.complete(number, row(nfe=3))
    study.flush()
    theirs = optuna.load_study(study_name="away", storage=open_storage(tmp_path))
    assert theirs.trials[0].values == [3.0, 2.0]


def test_a_server_that_goes_away_ends_a_sweep_in_a_sentence(tmp_path, monkeypatch, postgres, row):
    monkeypatch.setenv(VARIABLE, postgres.url)
    study = Study(open_storage(tmp_path), "gone", SPACE, Chooser())
    number, _ = study.ask(lambda _: False)
    study.flush()
    postgres.stop()
    try:
        study.complete(number, row(nfe=3))
        with (
            pytest.raises(StoreError, match="once it can be used again") as caught,
            translated(tmp_path),
        ):
            study.flush()
    finally:
        postgres.start()
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://owner:wr0ng@127.0.0.1:{port}/postgres", "password authentication failed"),
        ("postgresql://owner:wr0ng@127.0.0.1:1/postgres", "refused"),
        ("postgresql://owner:wr0ng@127.0.0.1:{port}/postgres?sslmode=require", "SSL"),
    ],
)
def test_a_database_that_refuses_is_named_without_its_secrets(
    tmp_path, monkeypatch, postgres, url, expected
):
    monkeypatch.setenv(VARIABLE, url.format(port=postgres.port))
    with pytest.raises(FileError, match=expected) as caught:
        open_storage(tmp_path)
    assert VARIABLE in str(caught.value)
    assert "postgresql://127.0.0.1:" in str(caught.value)
    assert "wr0ng" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_address_is_refused_without_showing_it(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "pass:word@host")
    with pytest.raises(UsageError, match="postgresql://USER") as caught:
        public_name(tmp_path)
    assert "word@" not in str(caught.value)


def test_an_unknown_kind_of_database_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "oracles://a:secret@b/c")
    with pytest.raises(FileError, match=VARIABLE) as caught:
        open_storage(tmp_path)
    assert "secret" not in str(caught.value)


def test_a_full_disk_is_told_in_one_sentence(tmp_path):
    expected = pytest.raises(StoreError, match=f"^{tmp_path}.*No space left.*--resume")
    with expected, translated(tmp_path):
        Path("/dev/full").write_text("a")


@pytest.mark.parametrize(
    ("storage", "tracker", "reason"),
    [
        ("", "", "studies .* SQLite file .* DSS_RAY_STORAGE"),
        ("sqlite:////shared/study.db", "https://tracker", "DSS_RAY_STORAGE"),
        ("postgresql://me@host/name", "", "MLFLOW_TRACKING_URI"),
        ("postgresql://me@host/name", "sqlite:////shared/mlflow.db", "MLFLOW_TRACKING_URI"),
        ("postgresql://me@host/name", "file:///shared/mlruns", "MLFLOW_TRACKING_URI"),
    ],
)
def test_files_of_one_machine_serve_no_sweep_of_two(monkeypatch, storage, tracker, reason):
    monkeypatch.setenv(VARIABLE, storage)
    monkeypatch.setenv(TRACKING, tracker)
    check_shared(1)
    with pytest.raises(UsageError, match=f"2 machines.*{reason}"):
        check_shared(2)


def test_servers_serve_any_number_of_machines_and_are_handed_on(monkeypatch):
    monkeypatch.setenv(VARIABLE, "postgresql://me@host/name")
    monkeypatch.setenv(TRACKING, "https://tracker")
    check_shared(100)
    assert public_variables() == {
        VARIABLE: "postgresql://me@host/name",
        TRACKING: "https://tracker",
    }
    monkeypatch.setenv(TRACKING, "sqlite:///mlflow.db")  # of this machine alone
    assert list(public_variables()) == [VARIABLE]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        (VARIABLE, "postgresql://me:s3cr3t@host/name"),
        (VARIABLE, "postgresql://me:s3cr3t/x@host/name"),
        (VARIABLE, "postgresql://me:s3cr3t#x@host/name"),
        (VARIABLE, "postgresql://me@host/name?password=s3cr3t"),
        (TRACKING, "https://me:s3cr3t@host"),
        (TRACKING, "https://s3cr3t@host"),
    ],
)
def test_a_secret_is_not_handed_to_a_job(monkeypatch, name, url):
    monkeypatch.setenv(name, url)
    with pytest.raises(UsageError, match=f"{name} holds a password") as caught:
        public_variables()
    assert PASSWORD not in str(caught.value)
