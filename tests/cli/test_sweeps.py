import csv
from pathlib import Path

import pytest

from dss_ray.api import load_solver
from dss_ray.bundle import load_bundle, save_bundle
from dss_ray.config.read import load_sweep
from dss_ray.records.rows import Row, append_row
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


def result(nfe: int, fid: float, kind: str = "searched", model: str = "digits-sit") -> Row:
    """A finished row with its bundle in runs/night."""
    key = f"{model}-{kind}-{nfe}-{fid}"
    bundle = load_solver("ab2", nfe).model_copy(update={"name": key, "model": model})
    save_bundle(bundle, Path("runs/night") / f"{key}.json")
    return Row(
        key=key,
        status="done",
        model=model,
        nfe=nfe,
        kind=kind,
        searched=kind == "searched",
        solver=key,
        guidance=1.0,
        fid=fid,
        rmse=0.1,
        features="digits-cnn",
        samples=100,
        bundle=f"{key}.json",
    )


@pytest.fixture
def night():
    """Adds rows to the sweep "night" of the current folder."""

    def add(*rows: Row) -> None:
        for row in rows:
            append_row(Path("runs/night/rows.jsonl"), row)

    return add


def test_leaderboard_shows_the_best_of_each_kind_and_the_same_as_csv(run, night):
    night(result(5, 2.0), result(5, 1.0), result(5, 3.0, "classical"))
    rows = run("leaderboard", "night", "--csv", "night.csv", "--json").document
    assert [(row["kind"], row["fid"]) for row in rows] == [("searched", 1.0), ("classical", 3.0)]
    lines = Path("night.csv").read_text().splitlines()
    assert [line["solver"] for line in csv.DictReader(lines)] == [row["solver"] for row in rows]


def test_leaderboard_of_a_sweep_that_has_just_begun_is_empty(run):
    Path("runs/night").mkdir(parents=True)
    assert run("leaderboard", "night", "--json").document == []


def test_export_hands_out_the_best_searched_solver_with_its_figures(run, night):
    night(result(5, 2.0), result(5, 1.0), result(5, 0.5, "classical"), result(6, 0.1))
    made = run("export", "night", "--nfe=5", "-o", "out", "--json").document
    assert made["format"] == "bundle"
    bundle = load_bundle(Path(made["path"]))
    assert bundle.metrics == {"FID[digits-cnn]": 1.0, "rmse": 0.1}
    assert bundle.name == "digits-sit-searched-5-1.0"


def test_export_lists_the_step_counts_that_a_sweep_has(run, night):
    night(result(5, 2.0), result(6, 1.0))
    ended = run("export", "night", "--nfe=7", "-o", "out")
    assert ended.code == 2
    assert "5, 6" in ended.sentence


def test_export_of_several_models_needs_one_of_them(run, night):
    night(result(5, 2.0), result(5, 1.0, model="gaussian-mixture"))
    ended = run("export", "night", "--nfe=5", "-o", "out")
    assert ended.code == 2 and "--model" in ended.sentence
    made = run("export", "night", "--nfe=5", "-o", "out", "--model=digits-sit", "--json").document
    assert load_bundle(Path(made["path"])).model == "digits-sit"


def test_export_of_a_bundle_keeps_its_numbers(run):
    bundle = load_solver("ab3", 5)
    save_bundle(bundle, Path("mine.json"))
    path = run("export", "mine.json", "-o", "out", "--json").document["path"]
    assert load_bundle(Path(path)).table.to_json() == bundle.table.to_json()


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
