import csv
from io import StringIO

import pytest
from rich.console import Console

from dss_ray.records.leaderboard import (
    leaderboard_rows,
    pareto_front,
    render,
    to_csv,
    to_markdown,
)


def text_of(table, width=100):
    console = Console(width=width, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


def test_the_best_is_chosen_on_selection_seeds_and_reported_on_fresh_ones(row, final):
    lucky = final("lucky", [5.0, 5.2, 5.1], selection=1.0)
    other = final("other", [2.0, 2.2, 2.1], selection=1.5)
    (best,) = leaderboard_rows([other, lucky, row("c", fid=1.2)])
    assert best["key"] == "lucky" and best["fid"] == pytest.approx(5.1)


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([1.0, 2.0, 3.0], "better"),  # each 0.5 lower, though the spread over seeds is 1
        ([2.0, 3.0, 4.0], "worse"),
        ([1.5, 2.5, 3.5], "tied"),
        ([1.0, 2.5, 3.3], "tied"),  # mean -0.233 +- 0.145
        ([1.4, 2.2, 3.3], "better"),  # mean -0.2 +- 0.058
    ],
)
def test_the_verdict_is_two_standard_errors_of_the_paired_difference(ours, verdict, final):
    rival = final("c", [1.5, 2.5, 3.5], selection=2.5, kind="classical")
    searched, classical = leaderboard_rows([final("s", ours, selection=2.0), rival])
    assert searched["verdict"] == verdict and classical["verdict"] is None
    assert searched["fid_change"] == pytest.approx(sum(ours) / 3 - 2.5)


def test_figures_without_common_fresh_seeds_get_no_verdict(row, final):
    rival = final("c", [1.5, 2.5, 3.5], selection=2.5, kind="classical")
    for ours in (row("s"), final("s", [1.0, 2.0], 1.0), final("s", [1.0, 2, 3], 1.0, samples=9)):
        assert leaderboard_rows([ours, rival])[0]["verdict"] is None


def test_models_and_extractors_never_share_a_front(row):
    rows = [
        row("a", fid=1.0),
        row("b", fid=2.0, model="n"),
        row("c", fid=3.0, features="inception"),
    ]
    board = leaderboard_rows(rows)
    assert {entry["key"] for entry in board if entry["front"]} == {"a", "b", "c"}


def test_the_front_keeps_what_nothing_beats_in_both(row):
    figures = {"a": (4, 3.0), "b": (5, 2.0), "worse": (6, 2.5), "same": (7, 2.0), "c": (8, 1.0)}
    rows = [row(key, nfe=nfe, fid=fid) for key, (nfe, fid) in figures.items()]
    assert [r.key for r in pareto_front([*rows, row("none", nfe=3, fid=None)])] == ["a", "b", "c"]


def test_trials_that_failed_or_stopped_early_or_break_a_constraint_cannot_win(row):
    rows = [row("early", fid=0.1, samples=10), row("full", fid=2.0),
            row("slow", fid=0.1, violated=["seconds"]),
            row("bad", fid=0.1, status="failed", error="x")]  # fmt: skip
    assert [entry["key"] for entry in leaderboard_rows(rows)] == ["full"]


def test_rmse_is_compared_at_the_same_guidance_only(row):
    rows = [row("s", guidance=2.0, rmse=0.2), row("c", kind="classical", rmse=0.1),
            row("d", kind="classical", guidance=2.0, rmse=0.3),
            row("e", kind="classical", guidance=2.0, rmse=0.25, fid=None)]  # fmt: skip
    assert leaderboard_rows(rows)[0]["classical_rmse"] == 0.25


def test_the_table_shows_every_kind_with_its_extractor_and_survives_brackets(row, final):
    rows = [final("s", [1.0, 2, 3], 1.0, method="odd[red]name", grid="cosine"),
            final("c", [1.5, 2.6, 3.5], 2.5, kind="classical"),
            row("p", kind="published")]  # fmt: skip
    text = text_of(render(leaderboard_rows(rows), "digits"))
    for part in ("[digits-cnn]", "odd[red]name", "2.000±0.100", "better", "published", "2.000?"):
        assert part in text


def test_numbers_stay_whole_on_a_narrow_terminal(final):
    rows = [final("s", [1.0, 2, 3], 1.0, method="least-squares+gauss-newton", evaluations=1234567)]
    text = text_of(render(leaderboard_rows(rows)), width=80)
    assert "2.000±0.100" in text and "1234567" in text


def test_csv_and_markdown_hold_the_board(row, final):
    board = leaderboard_rows([final("s", [1.0, 2.5], 1.0), row("c", kind="classical")])
    lines = list(csv.DictReader(StringIO(to_csv(board))))
    assert [line["kind"] for line in lines] == ["searched", "classical"]
    assert lines[0]["fid_values"] == "1.0 2.5" and float(lines[0]["fid"]) == 1.75
    assert to_markdown(board).count("\n| ") == 3 and "FID[digits-cnn]" in to_markdown(board)


def test_an_empty_sweep_has_an_empty_board():
    assert leaderboard_rows([]) == [] and to_csv([]).startswith("key,trial")
    assert "NFE" in text_of(render([])) and "NFE" in to_markdown([])
