"""When no further trial may start."""

import time

import pytest

from dss_ray.config.sweep import Baselines, SweepSettings
from dss_ray.records.cost import cost
from dss_ray.tune.budget import Budget


@pytest.fixture
def spent(row):
    """What a trial cost."""
    return row(
        evaluations=3000,
        sampling_evaluations=1000,
        fid_by_samples={100: 2.0, 200: 1.0},
        worker_seconds=1800.0,
    )


@pytest.fixture
def budget(spent):
    """Makes the budgets of a sweep that has done that trial."""

    def make(began=0.0, gpus=0.5, **limits):
        settings = SweepSettings(
            name="budget",
            models=("digits-sit",),
            baselines=Baselines(methods=("ab2",), grids=("uniform",)),
            search={"nfe": 5},
            **limits,
        )
        return Budget(settings, lambda: cost([spent], 2, gpus), time.monotonic() + began)

    return make


def test_the_cost_of_rows_adds_up(spent):
    violating = spent.model_copy(update={"violated": ["seconds"]})
    assert cost([spent, violating], 2, 0.5) == {
        "search_evaluations": 6000,
        "sampling_evaluations": 2000,
        "samples": 400,
        "stopped": 0,
        "violated": 1,
        "cpu_hours": 2.0,
        "gpu_hours": 0.5,
    }


@pytest.mark.parametrize(
    ("name", "enough", "too_little"),
    [("evaluation_budget", 4001, 4000), ("cpu_hours", 1.01, 1.0), ("gpu_hours", 0.26, 0.25)],
)
def test_a_budget_is_spent_once_it_is_reached(budget, name, enough, too_little):
    assert budget().spent() is None
    assert budget(**{name: enough}).spent() is None
    assert budget(**{name: too_little}).spent() == name


def test_no_trial_starts_that_would_end_too_late(budget):
    assert budget(began=-5, time_budget=10).spent() is None
    assert budget(began=-11, time_budget=10).spent() == "time_budget"
    late = budget(began=-5, time_budget=10)
    late.durations += [4.0, 10.0]  # seven seconds on average, five are left
    assert late.spent() == "time_budget"
