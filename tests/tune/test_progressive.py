"""A sweep that stops hopeless trials early, on a real cluster, read back from its databases."""

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from mlflow.tracking import MlflowClient

from dss_ray.api import evaluate_part
from dss_ray.bundle import load_bundle
from dss_ray.config.sweep import Evaluation
from dss_ray.evaluation.evaluate import combine
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.models.guidance import guide_steps
from dss_ray.tune.loaded import judged_by, load

pytestmark = pytest.mark.slow
RUNGS = 250, 500
SPACE = """
models: [digits-sit]
trials: 8
constraints: {rmse: 0.08}
search:
  nfe: 4
  method: least-squares
  grid: {choice: ["power:1:1.2", "power:1.2:1.7", uniform, "power:3:1", "power:1:3", "power:4:1"]}
  samples: {choice: [64, 32]}
evaluation: {samples: 1000, rungs: [250, 500], final_samples: 250, final_seeds: [0, 1]}
baselines: {methods: [ab2], grids: [uniform], samples: 8, keep: 1}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, sweep_in: Callable[..., Path]) -> Path:
    """The folder of a finished sweep."""
    return sweep_in(tmp_path_factory.mktemp("progressive"), SPACE)


def rows(folder: Path) -> list[dict]:
    """The searched rows, not yet judged again."""
    lines = (folder / "runs/space/rows.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["searched"] and not row["final"]]


def test_hopeless_trials_stop_at_a_rung_and_the_best_is_judged_on_all_samples(swept: Path) -> None:
    found = rows(swept)
    assert {row["status"] for row in found} == {"done"}
    assert len(found) == 8
    stopped = [row for row in found if row["stopped"]]
    assert 2 <= len(stopped) < 8
    for row in found:
        counts = [int(count) for count in row["fid_by_samples"]]
        assert counts == [c for c in (*RUNGS, 1000) if c <= row["samples"]]
        assert (row["samples"] == 1000) == (not row["stopped"])
    best = min(found, key=lambda row: row["fid_by_samples"]["250"])
    assert not best["stopped"]


def test_a_trial_goes_on_with_the_samples_it_has(swept: Path) -> None:
    """Its distances are those of one evaluation, and the network was asked no more often."""
    row = next(row for row in rows(swept) if not row["stopped"])
    table = load_bundle(swept / "runs/space" / row["bundle"]).table
    assert row["sampling_evaluations"] == table.nfe * 1000
    plan = EvaluationPlan(1000, 0, "selection")
    extractor, reference = judged_by("digits-sit", Evaluation().judge())
    guided = guide_steps(load("digits-sit"), 1.0, table.nfe)
    chunks = [
        evaluate_part(guided, table, plan, index, metrics=("fid",), extractor=extractor)
        for index in range(len(plan))
    ]
    for count, distance in row["fid_by_samples"].items():
        whole = combine(chunks[: int(count) // plan.chunk], reference)
        assert whole.fid == pytest.approx(distance, rel=1e-6)


def test_stopped_trials_are_complete_in_the_study_and_finished_in_mlflow(swept: Path) -> None:
    study = optuna.load_study(
        storage=f"sqlite:///{swept}/runs/space/study.db", study_name="digits-sit"
    )
    trials = {trial.number: trial for trial in study.trials if trial.state.name == "COMPLETE"}
    found = rows(swept)
    assert {row["trial"]: [row["nfe"], row["fid"]] for row in found} == {
        number: trial.values for number, trial in trials.items()
    }
    client = MlflowClient(f"sqlite:///{swept}/mlflow.db")
    experiment = client.get_experiment_by_name("dss_ray")
    runs = {
        run.data.tags["dss.key"]: run
        for run in client.search_runs([experiment.experiment_id])
        if "dss.key" in run.data.tags
    }
    for row in found:
        run = runs[row["key"]]
        assert run.info.status == "FINISHED"
        assert ("stopped" in run.data.tags) == row["stopped"]
        curve = client.get_metric_history(run.info.run_id, "fid_digits_cnn_by_samples")
        assert {str(point.step): point.value for point in curve} == row["fid_by_samples"]


def test_trials_beyond_a_constraint_say_so_and_are_never_the_best(swept: Path) -> None:
    found = rows(swept)
    assert {row["key"]: row["violated"] for row in found} == {
        row["key"]: ["rmse"] if row["rmse"] > 0.08 else [] for row in found
    }
    violating = sum(bool(row["violated"]) for row in found)
    assert 0 < violating < len(found)
    summary = json.loads((swept / "summary.json").read_text())
    assert summary["cost"]["violated"] == violating
    assert not any(row["violated"] for row in summary["best"])
    study = optuna.load_study(
        storage=f"sqlite:///{swept}/runs/space/study.db", study_name="digits-sit"
    )
    for row in found:
        excess = study.trials[row["trial"]].constraints
        assert excess == pytest.approx({"rmse": row["rmse"] - 0.08})


def test_no_stopped_trial_is_on_the_leaderboard_and_the_cost_is_told(swept: Path) -> None:
    summary = json.loads((swept / "summary.json").read_text())
    best = next(row for row in summary["best"] if row["searched"])
    assert not best["stopped"]
    found, told = rows(swept), summary["cost"]
    assert told["stopped"] == sum(row["stopped"] for row in found)
    assert told["samples"] == sum(row["samples"] for row in found) + 1000  # of the classical one
    assert told["search_evaluations"] == sum(row["evaluations"] for row in found)
    assert told["cpu_hours"] > 0 == told["gpu_hours"]
