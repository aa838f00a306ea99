"""Solvers side by side on the same noises."""

import pytest

from dss_ray.api import Evaluated, load_solver
from dss_ray.evaluation.figures import Figure
from dss_ray.records.measured import origin, solver_rows


def found(**metrics):
    return Evaluated(5, {name: Figure.of(values) for name, values in metrics.items()}, "cnn")


@pytest.fixture
def solvers():
    return {"one": load_solver("ab2", 5), "two": load_solver("ab3", 5)}


def verdicts(solvers, one, two):
    rows = solver_rows(solvers, {"one": one, "two": two})
    assert all(metric["against"] is None for metric in rows[0]["metrics"].values())
    return {name: metric["against"] for name, metric in rows[1]["metrics"].items()}


def test_distances_should_fall_and_recall_rise(solvers):
    one = found(fid=[2.0, 3.0], recall=[0.5, 0.6], rmse=[0.1, 0.2])
    two = found(fid=[1.0, 2.0], recall=[0.4, 0.5], rmse=[0.1, 0.2])
    named = {name: one["verdict"] for name, one in verdicts(solvers, one, two).items()}
    assert named == {"fid": "better", "recall": "worse", "rmse": "tied"}


def test_rmse_at_another_guidance_is_to_another_solution(solvers):
    guided = solvers | {"two": load_solver("ab3", 5, guidance=2.0)}
    one = found(fid=[2.0, 3.0], rmse=[0.1, 0.2])
    outcome = verdicts(guided, one, one)
    assert outcome["rmse"]["reason"] == "guidance 2.0, not 1.0"
    assert outcome["fid"]["verdict"] == "tied"


def test_a_single_seed_tells_nothing(solvers):
    assert verdicts(solvers, found(fid=[1.0]), found(fid=[2.0]))["fid"]["reason"] == "a single seed"


def test_the_origin_of_a_solver_that_was_not_searched_is_short():
    assert origin(load_solver("ab2", 5)) == {"nfe": 5, "guidance": 1.0, "method": "none"}
