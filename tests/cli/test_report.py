import fcntl
import json
import re
from pathlib import Path

import pytest

from dss_ray.api import load_solver
from dss_ray.bundle import save_bundle
from dss_ray.config.read import load_sweep
from dss_ray.records.rows import Row, append_row
from dss_ray.tune.folder import freeze

SPACE = """
models: [digits-sit]
search: {nfe: {choice: [4, 5]}, ridge: {range: [1.0e-6, 1.0e-3], log: true}}
baselines: {methods: [euler], grids: [uniform]}
"""
OWN = """
import pathlib
from dss_ray.models.gaussian import plane
pathlib.Path("imported").touch()
def build():
    return plane()
"""


def add(key: str, model: str = "digits-sit", name: str = "ab2", **values: object) -> None:
    """A finished row of the sweep "night", with its bundle."""
    bundle = f"trials/{key}/solver.json"
    save_bundle(load_solver(name, 4), Path("runs/night") / bundle)
    base = {"status": "done", "model": model, "nfe": 4, "kind": "searched", "guidance": 1.0}
    figures = {"fid": 1.0, "rmse": 0.1, "features": "digits-cnn", "samples": 100, "bundle": bundle}
    row = Row.model_validate({"key": key, "solver": name} | base | figures | values)
    append_row(Path("runs/night/rows.jsonl"), row)


def document(path: str = "runs/night/report.html") -> dict:
    """What a page carries."""
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', Path(path).read_text()
    )
    return json.loads(found[1])


def test_report_writes_a_page_of_the_whole_sweep(run):
    Path("space.yaml").write_text(SPACE)
    Path("runs/night").mkdir(parents=True)
    freeze(Path("runs/night"), load_sweep("space.yaml"))
    add("best", fid=0.5, trial=0)
    add("bad", status="failed", error="boom", trial=1)
    add("rival", name="euler", kind="classical")
    assert run("report", "night", "--json").document == {"path": "runs/night/report.html"}
    found = document()
    assert [row["key"] for row in found["rows"]] == ["best", "bad", "rival"]
    assert [entry["key"] for entry in found["fronts"][0]["board"]] == ["best", "rival"]
    assert found["settings"]["models"] == ["digits-sit"] and "torch" in found["versions"]
    assert "15 finished trials" in found["notes"]["importances"][0]


def test_the_best_are_measured_anew_beside_the_teacher(run):
    add("best")
    add("rival", name="euler", kind="classical")
    run("report", "night", "-o", "out/page.html")
    found = document("out/page.html")
    assert set(found["closeups"]) == {"best", "rival"} and len(found["teachers"]) == 1
    ab2, euler = (found["closeups"][key]["errors"] for key in ("best", "rival"))
    assert 0 == ab2[0] < ab2[-1] < euler[-1]
    assert not Path("runs/night/report.html").exists()


def test_pictures_are_drawn_where_a_folder_is_named(run):
    add("best")
    run("report", "night", "--pictures", "out/png")
    assert {file.name for file in Path("out/png").iterdir()} == {"front.png", "errors.png"}
    Path("taken").touch()
    ended = run("report", "night", "--pictures", "taken/png")
    assert ended.code == 2 and "taken" in ended.sentence


def test_a_users_own_code_runs_only_where_it_is_named(run):
    Path("mine_to_run.py").write_text(OWN)
    add("best", "mine_to_run:build")
    run("report", "night")
    assert not Path("imported").exists()
    assert "--model mine_to_run:build" in document()["notes"]["closeups"][0]
    run("report", "night", "--model", "mine_to_run:build")
    assert Path("imported").exists() and "best" in document()["closeups"]


def test_a_model_that_the_sweep_does_not_have_is_refused(run):
    add("best")
    ended = run("report", "night", "--model", "digits-dit")
    assert ended.code == 2 and "digits-sit" in ended.sentence


def test_a_sweep_that_has_just_begun_has_a_page_too(run):
    Path("runs/night").mkdir(parents=True)
    with Path("runs/night/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run("report", "night").code == 0
        assert document()["running"] and document()["fronts"] == []
    run("report", "night")
    assert not document()["running"]


def test_what_is_missing_or_broken_is_said_on_the_page(run):
    add("lost")
    add("broken", kind="classical")
    Path("runs/night/trials/lost/solver.json").unlink()
    Path("runs/night/trials/broken/solver.json").write_text("{")
    Path("runs/night/manifest.json").write_text("[]")
    assert run("report", "night").code == 0
    found = document()
    assert "cannot read the bundle" in found["solvers"]["lost"]["error"]
    assert "no JSON" in found["solvers"]["broken"]["error"]
    assert "manifest.json cannot be read" in found["notes"]["settings"][0]


@pytest.mark.parametrize("content", ["nonsense\n", "{}\n"])
def test_rows_that_are_none_are_one_sentence_and_leave_the_old_page(run, content):
    Path("runs/night").mkdir(parents=True)
    Path("runs/night/report.html").write_text("old")
    Path("runs/night/rows.jsonl").write_text(content)
    ended = run("report", "night")
    assert ended.code == 2 and "line 1" in ended.sentence
    assert Path("runs/night/report.html").read_text() == "old"


def test_a_place_that_cannot_be_written_is_one_sentence(run):
    add("best")
    Path("taken").mkdir()
    ended = run("report", "night", "-o", "taken")
    assert ended.code == 2 and "cannot write the report" in ended.sentence
    assert not list(Path().glob(".taken*"))


def test_the_same_sweep_makes_the_same_page_but_for_its_time(run):
    add("best")
    pages = []
    for _ in range(2):
        run("report", "night")
        pages.append(re.sub(r'"made":"[^"]*"', "", Path("runs/night/report.html").read_text()))
    assert pages[0] == pages[1]
