"""What MLflow's pages say of a sweep and its trials."""

from pathlib import Path

from dss_ray.records.leaderboard import leaderboard_rows
from dss_ray.records.notes import pictures, sweep_note, trial_note
from dss_ray.records.run_fields import front_points, row_name


def test_a_failed_trial_says_why(row):
    assert trial_note(row(status="failed", error="it diverged"), ["![a]"]) == "Failed: it diverged"


def test_a_trial_shows_its_pictures_below_what_its_figures_do_not_say(row, final):
    assert trial_note(row(stopped=True), ["![a]"]).startswith("Stopped early")
    assert trial_note(row(violated=["rmse"]), ["![a]"]).endswith("of rmse.\n\n![a]")
    assert trial_note(final("a", [1.0, 2.0], 1.0), []).startswith("Finalist")
    assert trial_note(row(), ["![a]"]) == "![a]"


def test_pictures_are_named_by_their_run_and_nothing_else_is_shown():
    files = [Path("x/history.png"), Path("x/solver.json"), Path("x/solver.png")]
    assert pictures("r1", files) == [
        "![solver.png](get-artifact?path=solver.png&run_uuid=r1)",
        "![history.png](get-artifact?path=history.png&run_uuid=r1)",
    ]


def test_a_sweep_says_where_it_beats_the_classical_solvers(row, final):
    rows = [final("s", [1.0, 2.0, 3.0], 1.0), final("c", [2.0, 3.0, 4.1], 1.0, kind="classical"),
            row("t", nfe=8)]  # fmt: skip
    first, *_, last = sweep_note(leaderboard_rows(rows), ["more"]).split("\n\n")
    assert first == (
        "m FID[digits-cnn]: against the best classical solver, better at 5; not compared at 8 "
        "queries."
    )
    assert last.startswith("NFE with *")


def test_runs_of_solvers_that_were_not_searched_say_which_they_are(row):
    classical = row("c", kind="classical", solver="ab2", grid="power:2", params={"nfe": 5})
    assert row_name(classical) == "ab2 power:2 nfe=5 guidance=1"
    searched = row("s", trial=12, params={"nfe": 5, "method": "gradient"})
    assert row_name(searched) == "#012 nfe=5 gradient"


def test_models_of_one_name_keep_their_curves_apart(row):
    """Other characters than these are refused as a metric's name."""
    specs = ("sit?path=/a/one.pt", "sit?path=/b/two.pt")
    both = leaderboard_rows([row(model=spec) for spec in specs])
    assert {name for name, *_ in front_points(both)} == {
        "best_fid_digits_cnn/sit_path_a_one.pt/searched",
        "best_fid_digits_cnn/sit_path_b_two.pt/searched",
    }
    assert front_points(both[:1])[0][0] == "best_fid_digits_cnn/sit/searched"
