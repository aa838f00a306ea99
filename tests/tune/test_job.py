"""Jobs: what determines their keys, and what they bring."""

from pathlib import Path

import pytest
import torch

from dss_ray.config.sweep import Baselines, Evaluation
from dss_ray.errors import UsageError
from dss_ray.models.guidance import guide
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.tune.baselines import screened
from dss_ray.tune.job import Job
from dss_ray.tune.loaded import load
from dss_ray.tune.outcome import Outcome
from dss_ray.tune.work import run_job, searched

EVALUATION = Evaluation(samples=64, final_samples=64)
BASELINES = Baselines(
    methods=("euler", "ab2", "ab3"), grids=("uniform", "cosine"), samples=8, keep=2
)
SEARCH = {"nfe": 4, "guidance": 1.0, "method": "least-squares", "grid": "uniform", "samples": 32}


def job(kind: str = "searched", **changes: object) -> Job:
    values = SEARCH if kind == "searched" else {"nfe": 4, "guidance": 1.0}
    return Job(kind, "digits-sit", values | changes, EVALUATION, BASELINES)  # type: ignore[arg-type]


def finished(one: Job) -> Outcome:
    """The last outcome of a job."""
    return list(run_job(one))[-1]


def test_a_key_is_the_same_for_equal_jobs_and_another_for_each_change() -> None:
    assert job().key == job().key
    other = Evaluation(samples=65, final_samples=64)
    changed = Job("searched", "digits-sit", SEARCH, other, BASELINES)  # type: ignore[arg-type]
    halved = Job(
        "searched",
        "digits-sit",
        SEARCH,
        Evaluation(samples=500, rungs=(250,), final_samples=64),
        BASELINES,
    )  # type: ignore[arg-type]
    whole = Job("searched", "digits-sit", SEARCH, Evaluation(samples=500), BASELINES)  # type: ignore[arg-type]
    assert halved.key != whole.key
    keys = {job().key, job(nfe=5).key, job(guidance=1.2).key, job("baseline").key, changed.key}
    assert len(keys) == 5


def test_a_search_starts_from_a_table_that_the_worker_has_no_file_of() -> None:
    given = classical_table("ab3", make_grid("power:1:1.2", 4))
    values = SEARCH | {"method": "gauss-newton", "iterations": 1, "start": "/nowhere/ab3.json"}
    values |= {"space": "velocity"}
    own = Job("searched", "digits-sit", values, EVALUATION, BASELINES, start=given.to_json())  # type: ignore[arg-type]
    named = Job("searched", "digits-sit", values | {"start": "ab3"}, EVALUATION, BASELINES)  # type: ignore[arg-type]
    found = searched(own).table
    assert torch.allclose(found.times, given.times, atol=0.2)
    assert not torch.allclose(found.times, searched(named).table.times, atol=1e-3)
    assert own.key != Job("searched", "digits-sit", values, EVALUATION, BASELINES).key  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["ab4", "ddim", "dpmpp3m"])
def test_a_method_without_a_history_or_with_another_name_is_a_baseline_too(method: str) -> None:
    alone = Baselines(methods=(method,), grids=("uniform",), samples=8)
    names = [name for _, name, *_ in screened(guide(load("digits-sit"), 1.0), 3, alone)]
    assert names == [method]


def test_a_baseline_job_keeps_the_best_two_methods_and_grids_by_rmse() -> None:
    guided = guide(load("digits-sit"), 1.0)
    kept = [(kind, name, grid) for kind, name, grid, _ in screened(guided, 4, BASELINES)]
    assert [kind for kind, *_ in kept] == ["classical", "classical"]  # no published one at NFE 4
    rows = [result.row for result in finished(job("baseline")).results]
    assert {(row.kind, row.solver, row.grid) for row in rows} == set(kept)
    assert all(row.solver != "euler" for row in rows)


def test_the_paper_s_tables_are_judged_where_they_have_that_many_steps() -> None:
    rows = [result.row for result in finished(job("baseline", nfe=5)).results]
    assert [row.kind for row in rows] == ["classical", "classical", "published"]


def test_an_outcome_survives_the_way_through_json() -> None:
    outcome = finished(job())
    copy = Outcome.model_validate_json(outcome.model_dump_json())
    (before,), (after,) = outcome.results, copy.results
    assert before.row == after.row
    assert before.bundle.table.to_json() == after.bundle.table.to_json()
    assert (before.pictures.images() == after.pictures.images()).all()
    assert before.pictures.images().shape == (20, 1, 8, 8)


def test_a_searched_row_says_what_it_cost() -> None:
    outcome = finished(job(guidance=1.2))
    row = outcome.results[0].row
    assert row.evaluations == 4 * 2 * 32 * (1 + 8 + 3)  # screening one grid, its variants, the best
    assert row.reference_evaluations is not None
    assert row.reference_evaluations > row.evaluations
    assert 0 < outcome.network_seconds < outcome.seconds * 1.5


def test_a_solver_searched_on_another_model_is_made_to_fit_the_one_that_judges() -> None:
    elsewhere = job(search_model="digits-dit")
    assert elsewhere.key != job().key
    (result,) = finished(elsewhere).results
    assert (result.row.model, result.bundle.model) == ("digits-sit", "digits-dit")
    knots = result.bundle.table.knots
    assert (float(knots[0]), float(knots[-1])) == (0.0, 1.0)
    (home,) = finished(job()).results
    assert home.row.rmse is not None
    assert result.row.rmse is not None
    assert home.row.rmse < result.row.rmse < 2 * home.row.rmse


def test_an_unknown_grid_fails_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'uniform'"):
        finished(job(grid="unifrom"))
