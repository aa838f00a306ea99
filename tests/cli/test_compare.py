"""Sweeps or solvers side by side, on the command line."""

import json
from pathlib import Path

import pytest

from dss_ray.api import evaluate, load_model, load_solver
from dss_ray.bundle import save_bundle
from dss_ray.records.rows import append_row

MEASURED = ["--samples=60", "--seeds=0,1"]


def begin(name, rows=(), **settings):
    """A sweep's folder with some settings and rows."""
    folder = Path("runs") / name
    folder.mkdir(parents=True)
    known = {"name": name, "search": {"nfe": {"choice": [4, 5]}}} | settings
    (folder / "manifest.json").write_text(json.dumps({"id": name, "settings": known}))
    for row in rows:
        append_row(folder / "rows.jsonl", row)


def searched(name="five.json", model="digits-sit", nfe=5, guidance=1.0):
    """A bundle that says it was searched on a model."""
    bundle = load_solver("ab2", nfe, guidance=guidance)
    save_bundle(bundle.model_copy(update={"model": model}), Path(name))


def test_sweeps_are_compared_with_the_first(run, final):
    begin("one", [final("a", [1.0, 2.0, 3.0], 1.0)], seed=0)
    begin("two", [final("b", [0.5, 1.4, 2.5], 1.0)], seed=1)
    found = run("compare", "one", "two", "--json").document
    assert found["settings"] == [{"setting": "seed", "values": {"one": 0, "two": 1}}]
    assert [row["sweep"] for row in found["rows"]] == ["one", "two"]
    assert found["rows"][1]["against"]["verdict"] == "better"
    assert found["totals"]["one"]["trials"] == 1
    shown = run("compare", "one", "two").out
    assert "better" in shown and "seed" in shown


def test_sweeps_without_a_result_have_their_settings_compared(run):
    begin("one", search={"nfe": 5})
    begin("two", search={"nfe": 6})
    assert run("compare", "one", "two", "--json").document["rows"] == []
    shown = run("compare", "one", "two").out
    assert "search.nfe" in shown and "no finished trial yet" in shown


def test_solvers_are_measured_on_the_model_they_come_from(run):
    searched()
    found = run("compare", "five.json", "euler", *MEASURED, "--json").document
    first, second = found["rows"]
    own = evaluate(load_solver("euler", 5), load_model("digits-sit"), samples=60, seeds=(0, 1))
    assert second["metrics"]["fid"]["values"] == list(own.metrics["fid"].values)
    assert (second["nfe"], first["metrics"]["fid"]["against"]) == (5, None)
    assert second["metrics"]["rmse"]["against"]["verdict"] == "worse"


def test_solvers_known_by_name_take_the_guidance_of_the_first_bundle(run):
    searched(guidance=2.0)
    options = [*MEASURED, "--metrics=rmse", "--json"]
    rows = run("compare", "five.json", "ab2", *options).document["rows"]
    assert [row["guidance"] for row in rows] == [2.0, 2.0]
    assert rows[0]["metrics"]["rmse"]["values"] == rows[1]["metrics"]["rmse"]["values"]
    rows = run("compare", "five.json", "ab2", "--guidance=1", *options).document["rows"]
    assert [row["guidance"] for row in rows] == [1.0, 1.0]


def test_people_see_figures_with_spread_and_verdicts(run):
    searched()
    shown = run("compare", "five.json", "flow-sit-6", *MEASURED).out
    assert "FID[digits-cnn]" in shown and "±" in shown and "flow-sit-6" in shown
    assert any(verdict in shown for verdict in ("better", "tied", "worse"))


WRONG = {
    "one alone": (["night"], "two or more"),
    "twice the same": (["night", "night"], "different"),
    "unknown": (["night", "nihgt"], "did you mean 'night'"),
    "unknown solver": (["ab2", "ab22"], "did you mean 'ab2'"),
    "a sweep and a solver": (["night", "ab2"], "export SWEEP --nfe N"),
    "a transfer": (["night", "carried"], "carried is a transfer"),
    "no model": (["ab2", "ab3", "--nfe=5"], "--model"),
    "several models": (["five.json", "other.json"], "digits-dit, digits-sit"),
    "no step count": (["ab2", "ab3", "--model=digits-sit"], "--nfe"),
    "another step count": (["five.json", "ab2", "--nfe=6"], "5 queries, but --nfe is 6"),
    "missing file": (["five.json", "no.json"], "no.json"),
    "unknown model": (["ab2", "ab3", "--nfe=5", "--model=digits-si"], "'digits-sit'"),
    "metric": (["five.json", "ab2", "--metrics=fib"], "'fid'"),
}


@pytest.mark.parametrize(("arguments", "told"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_compared_is_one_sentence(run, arguments, told):
    begin("night")
    begin("carried")
    manifest = {"id": "x", "settings": {"models": ["digits-sit"], "solvers": []}}
    Path("runs/carried/manifest.json").write_text(json.dumps(manifest))
    searched()
    searched("other.json", "digits-dit")
    ended = run("compare", *arguments)
    assert ended.code == 2 and told in ended.sentence
