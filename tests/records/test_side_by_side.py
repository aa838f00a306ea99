"""Sweeps side by side."""

from io import StringIO

import pytest
from rich.console import Console

from dss_ray.records.side_by_side import best_solvers, differing, render_solvers, total


def text_of(table, width=80):
    console = Console(width=width, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


def test_only_what_differs_is_listed_by_its_path():
    one = {"seed": 0, "evaluation": {"samples": 500, "rungs": [1]}, "search": {"ridge": 1}}
    other = {"seed": 0, "evaluation": {"samples": 900, "rungs": [1]}, "search": {}}
    assert differing({"a": one, "b": other}) == [
        {"setting": "evaluation.samples", "values": {"a": 500, "b": 900}},
        {"setting": "search.ridge", "values": {"a": 1, "b": "-"}},
    ]


def test_a_section_that_one_lacks_as_a_whole_is_no_difference():
    found = {"a": {"nfe": 5, "search": {"grid": "auto"}}, "b": {"nfe": 5}}
    assert differing(found) == []


@pytest.fixture
def sweeps(final):
    """Two sweeps that were judged alike."""
    first = [final("a", [1.0, 2.0, 3.0], 1.0), final("b", [1.0, 2.0, 3.0], 1.0, nfe=8)]
    second = [final("c", [0.5, 1.4, 2.5], 1.0), final("d", [0.5, 1.4, 2.5], 1.0, nfe=6)]
    return {"one": first, "two": second}


def test_solvers_of_one_step_count_are_paired_and_others_say_why_not(sweeps):
    found = {(row["nfe"], row["sweep"]): row["against"] for row in best_solvers(sweeps)}
    assert found[5, "one"] is found[8, "one"] is None
    assert found[5, "two"]["verdict"] == "better" and found[5, "two"]["name"] == "one"
    assert found[5, "two"]["change"] == pytest.approx(-8 / 15)
    assert found[6, "two"]["reason"] == "no solver of 6 queries there"


def test_an_unfinished_sweep_is_shown_and_not_compared(sweeps, row):
    rows = best_solvers(sweeps | {"two": [row("c", fingerprint="w", reference="r")]})
    assert rows[1]["against"]["reason"] == "not on fresh seeds yet"
    assert "2.000?" in text_of(render_solvers(rows, "one"))


def test_a_model_is_compared_with_itself_first(final):
    models = {"m": "w", "n": "v"}
    first = [final(name, [1.0, 2.0], 1.0, model=name, fingerprint=w) for name, w in models.items()]
    second = [final("n", [1.0, 2.0], 1.0, model="n", fingerprint="v")]
    assert best_solvers({"a": first, "b": second})[-1]["against"]["verdict"] == "tied"


def test_sweeps_on_different_models_are_side_by_side(final):
    one, other = (
        final("a", [1.0, 2.0], 1.0),
        final("b", [1.0, 2.0], 1.0, model="n", fingerprint="v"),
    )
    rows = best_solvers({"one": [one], "two": [other]})
    assert rows[1]["against"]["reason"] == "on n, not m"
    assert "m FID" in text_of(render_solvers(rows, "one"), 100)


def test_no_column_is_lost_on_a_narrow_terminal(sweeps):
    shown = text_of(render_solvers(best_solvers(sweeps), "one"))
    assert all(part in shown for part in ("1.467±0.100", "better", "-0.5333±0.0333"))


def test_the_guidance_is_shown_where_it_differs(sweeps, final):
    assert "scale" not in text_of(render_solvers(best_solvers(sweeps), "one"))
    sweeps["two"] = [final("c", [0.5, 1.4, 2.5], 1.0, guidance=2.0)]
    assert "scale" in text_of(render_solvers(best_solvers(sweeps), "one"))


def test_totals_count_trials_and_what_they_cost(row):
    rows = [
        row("a", evaluations=5, worker_seconds=1800.0),
        row("b", status="failed", error="x"),
        row("c", kind="classical", sampling_evaluations=7),
    ]
    found = total(rows, {"resources": {"cpus": 2, "gpus": 0.0}})
    assert (found["trials"], found["failed"], found["cpu_hours"]) == (2, 1, 1.0)
    assert (found["search_evaluations"], found["sampling_evaluations"]) == (5, 7)
