import json
import logging
from pathlib import Path

import jsonschema
import pytest

from dss_ray.api import load_solver
from dss_ray.bundle import Measured, json_schema, load_bundle, save_bundle
from dss_ray.export.formats import FORMATS
from dss_ray.records.lineage import TRACKED, keep_runs

SETTINGS = {"evaluation": {"seed": 7, "final_seeds": [1, 2, 3]}}


@pytest.fixture
def mine():
    """A bundle in a file, of a classical solver."""
    save_bundle(load_solver("ab3", 5), Path("mine.json"))
    return Path("mine.json")


def begun(identity="c0ffee"):
    """The manifest of the sweep "night"."""
    document = {"id": identity, "settings": SETTINGS}
    Path("runs/night/manifest.json").write_text(json.dumps(document))


def test_the_best_searched_solver_of_a_sweep_has_its_figures_and_its_origin(run, night, result):
    fresh = {"fid_values": [1.0, 2.0, 3.0], "fid_spread": 1.0, "final": True, "selection_fid": 1.0}
    best = result(5, 2.0, **fresh, trial=12)
    night(result(5, 1.5), best, result(5, 0.5, "classical"), result(6, 0.1))
    begun()
    made = run("export", "night", "--nfe=5", "-o", "out", "--json").document
    assert set(made) == {"path", "format"} and made["format"] == "bundle"
    bundle = load_bundle(Path(made["path"]))
    fid = Measured.of([1, 2, 3], samples=100, seeds=[1, 2, 3], domain="evaluation")
    rmse = Measured.of([0.1], domain="selection")
    assert bundle.metrics == {"FID[digits-cnn]": fid, "rmse": rmse}
    assert bundle.sweep.model_dump() == {
        "name": "night", "id": "c0ffee", "model": "digits-sit", "trial": 12, "key": best.key,
        "mlflow_run": None,
    }  # fmt: skip
    jsonschema.validate(json.loads(Path(made["path"]).read_text()), json_schema())


def test_figures_that_chose_a_solver_are_told_from_fresh_ones(run, night, result):
    night(result(5, 1.0))
    for seeds in (None, (7,)):
        path = run("export", "night", "--nfe=5", "-o", "out", "--json").document["path"]
        figure = load_bundle(Path(path)).metrics["FID[digits-cnn]"]
        assert figure == Measured.of([1.0], samples=100, seeds=seeds, domain="selection")
        begun()


def test_a_trials_mlflow_run_goes_along_where_the_sweep_kept_it(run, night, result):
    row = result(4, 1.0)
    night(row)
    keep_runs(Path("runs/night"), {row.key: "f00d"})
    for kept in ("f00d", None):
        made = run("export", "night", "--nfe=4", "-o", "out", "--json").document
        assert load_bundle(Path(made["path"])).sweep.mlflow_run == kept
        Path("runs/night", TRACKED).write_text("[]")


def test_export_lists_the_step_counts_that_a_sweep_has(run, night, result):
    night(result(5, 2.0), result(6, 1.0))
    ended = run("export", "night", "--nfe=7", "-o", "out")
    assert ended.code == 2
    assert "5, 6" in ended.sentence


def test_export_of_several_models_needs_one_of_them(run, night, result):
    night(result(5, 2.0), result(5, 1.0, model="gaussian-mixture"))
    ended = run("export", "night", "--nfe=5", "-o", "out")
    assert ended.code == 2 and "--model" in ended.sentence
    made = run("export", "night", "--nfe=5", "-o", "out", "--model=digits-sit", "--json").document
    assert load_bundle(Path(made["path"])).model == "digits-sit"


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_written_once_and_never_over_another_file(run, mine, form):
    command = ["export", mine, "--format", form, "-o", "out", "--json"]
    paths = [Path(run(*command).document["path"]) for _ in range(2)]
    assert paths[0] == paths[1]
    paths[0].write_text("mine")
    other = Path(run(*command).document["path"])
    assert other != paths[0] and paths[0].read_text() == "mine"
    assert sorted(Path("out").iterdir()) == sorted([paths[0], other])


def test_help_names_every_format(run):
    shown = run("export", "--help").out
    assert [form for form in FORMATS if form not in shown] == []


def test_export_of_a_bundle_keeps_all_of_it(run, mine):
    path = run("export", mine, "-o", "out", "--json").document["path"]
    assert Path(path).read_bytes() == mine.read_bytes()


def changed(path: Path) -> None:
    """Change a number of a bundle by hand."""
    document = json.loads(path.read_text())
    document["guidance"] = 2.0
    path.write_text(json.dumps(document))


def test_a_bundle_that_was_changed_by_hand_is_used_only_when_that_is_meant(run, mine):
    changed(mine)
    use = ["evaluate", mine, "--model=gaussian-mixture", "--metrics=rmse", "--samples=32"]
    for command in (["export", mine, "-o", "out"], use):
        ended = run(*command)
        assert ended.code == 2 and f"dss-ray export {mine} --edited" in ended.sentence
    meant = run("export", mine, "--edited", "-o", "out", "--json").document["path"]
    assert load_bundle(Path(meant)).edited
    assert run(use[0], meant, *use[2:]).code == 0


def test_a_changed_bundle_of_a_sweep_is_exported_without_figures(run, night, result):
    night(result(5, 1.0))
    changed(next(Path("runs/night").glob("*.json")))
    assert run("export", "night", "--nfe=5", "-o", "out").code == 2
    made = run("export", "night", "--nfe=5", "-o", "out", "--edited", "--json").document["path"]
    assert load_bundle(Path(made)).metrics == {}


def test_use_on_another_model_warns_of_the_risk(run, caplog):
    searched = {"model": "digits-sit", "model_fingerprint": "ab" * 32}
    save_bundle(load_solver("ab2", 3).model_copy(update=searched), Path("away.json"))
    use = ["away.json", "--model=gaussian-mixture"]
    assert run("evaluate", *use, "--metrics=rmse", "--samples=32").code == 0
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for part in ("away.json", "digits-sit (weights abababab)", "gaussian-mixture", "need not hold"):
        assert part in record.getMessage()


def test_use_at_home_warns_of_nothing(run, caplog):
    found = run("search", "gaussian-mixture", "--nfe=3", "--grid=uniform", "--samples=32", "--json")
    use = found.document["bundle"], "--model=gaussian-mixture"
    run("evaluate", *use, "--metrics=rmse", "--samples=32")
    assert caplog.records == []


def test_a_folder_that_cannot_be_written_is_named(run, mine):
    Path("file").write_text("")
    ended = run("export", mine, "--format=standalone", "-o", "file/out")
    assert ended.code == 2 and "file/out" in ended.sentence


def test_what_a_format_cannot_carry_is_said(run):
    save_bundle(load_solver("heun", 4), Path("heun.json"))
    ended = run("export", "heun.json", "--format=comfyui", "-o", "out")
    assert ended.code == 2 and "standalone" in ended.sentence
    assert not Path("out").exists()
