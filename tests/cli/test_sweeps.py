import csv
from pathlib import Path

from dss_ray.config.read import load_sweep
from dss_ray.tune.folder import freeze, place

SPACE = """
models: [digits-sit, "dss_ray.models.shipped:digits_sit"]
trials: 7
search:
  nfe: {choice: [4, 5, 6]}
  guidance: {choice: [1.0, 2.0]}
  ridge: {range: [1.0e-6, 1.0e-3], log: true}
baselines: {methods: [euler], grids: [uniform]}
"""


def test_leaderboard_shows_the_best_of_each_kind_and_the_same_as_csv(run, night, result):
    night(result(5, 2.0), result(5, 1.0), result(5, 3.0, "classical"))
    rows = run("leaderboard", "night", "--csv", "night.csv", "--json").document
    assert [(row["kind"], row["fid"]) for row in rows] == [("searched", 1.0), ("classical", 3.0)]
    lines = Path("night.csv").read_text().splitlines()
    assert [line["solver"] for line in csv.DictReader(lines)] == [row["solver"] for row in rows]


def test_leaderboard_of_a_sweep_that_has_just_begun_is_empty(run):
    Path("runs/night").mkdir(parents=True)
    assert run("leaderboard", "night", "--json").document == []


def test_a_dry_run_shows_the_plan_and_runs_nothing(run):
    Path("space.yaml").write_text(SPACE)
    plan = run("sweep", "space.yaml", "--dry-run", "--trials=9", "--json").document
    assert plan["name"] == "space"
    assert (plan["trials"], plan["baselines"]) == (2 * 9, 2 * 3 * 2)
    assert [row["name"] for row in plan["dimensions"]] == ["nfe", "guidance", "ridge"]
    assert not Path("runs").exists()


def test_a_dry_run_estimates_points_evaluations_time_and_disk(run):
    Path("space.yaml").write_text(SPACE)
    finite = [
        "--set",
        "search.ridge={choice: [1.0e-6, 1.0e-3]}",
        "--set",
        "evaluation.samples=1000",
    ]
    found = run("sweep", "space.yaml", "--dry-run", *finite, "--json").document["estimate"]
    whole = run("sweep", "space.yaml", "--dry-run", "--json").document["estimate"]
    assert (found["points"], whole["points"]) == (3 * 2 * 2, None)
    assert 0 < found["seconds_per_evaluation"] < 0.1
    said = run("sweep", "space.yaml", "--dry-run", *finite).out
    assert "12 points" in said
    assert "hours of one worker" in " ".join(said.split())


def test_set_replaces_a_setting_of_the_file(run):
    Path("space.yaml").write_text(SPACE)
    assign = ["--set", "models=[digits-sit]", "--set", "search.nfe=8", "--name", "eight"]
    plan = run("sweep", "space.yaml", "--dry-run", *assign, "--json").document
    assert (plan["name"], plan["models"]) == ("eight", ["digits-sit"])
    assert plan["dimensions"][0]["choice"] == [8]


def test_people_see_the_dimensions_of_a_plan(run):
    Path("space.yaml").write_text(SPACE)
    text = run("sweep", "space.yaml", "--dry-run").out
    assert "1e-06 to 0.001, logarithmic" in text


def test_an_earlier_sweep_is_not_run_over(run):
    Path("space.yaml").write_text(SPACE)
    settings = load_sweep("space.yaml")
    folder = place(settings, resume=False)
    folder.mkdir(parents=True)
    freeze(folder, settings)
    ended = run("sweep", "space.yaml")
    assert ended.code == 2
    assert "--resume" in ended.sentence
