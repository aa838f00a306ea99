"""Which trials go on: the better ones at each rung, among those of one model and step count."""

from types import SimpleNamespace

import pytest

from dss_ray.config.sweep import Evaluation
from dss_ray.tune.halving import Halving
from dss_ray.tune.trainable import DISTANCE, RUNG

EVALUATION = Evaluation(samples=2000, rungs=(250, 500), reduction_factor=2)


def trial(name, nfe=5, kind="searched", model="digits-sit"):
    return SimpleNamespace(
        trial_id=name, config={"kind": kind, "model": model, "values": {"nfe": nfe}}
    )


def decide(halving, one, rung, distance):
    return halving.on_trial_result(None, one, {RUNG: rung, DISTANCE: distance})


def test_at_a_rung_those_go_on_that_are_no_worse_than_the_median_of_earlier_ones():
    halving = Halving(EVALUATION, [], print)
    found = [decide(halving, trial(str(n)), 1, d) for n, d in enumerate([3.0, 5.0, 2.0, 4.5, 1.0])]
    assert found == ["CONTINUE", "STOP", "CONTINUE", "STOP", "CONTINUE"]


def test_each_rung_has_its_own_record():
    halving = Halving(EVALUATION, [], print)
    one, other = trial("a"), trial("b")
    assert decide(halving, one, 1, 1.0) == decide(halving, other, 1, 0.9) == "CONTINUE"
    assert decide(halving, one, 2, 0.5) == "CONTINUE"
    assert decide(halving, other, 2, 0.6) == "STOP"


@pytest.mark.parametrize("change", [{"nfe": 4}, {"model": "digits-dit"}, {"kind": "baseline"}])
def test_other_step_counts_other_models_and_baselines_are_not_compared(change):
    halving = Halving(EVALUATION, [], print)
    assert decide(halving, trial("a"), 1, 1.0) == "CONTINUE"
    assert decide(halving, trial("b", **change), 1, 9.0) == "CONTINUE"
    assert decide(halving, trial("c"), 1, 9.0) == "STOP"


def test_a_resumed_sweep_compares_with_what_is_on_record(row):
    distances = {250: 1.0, 500: 0.7, 2000: 0.5}
    earlier = row("earlier", model="digits-sit", fid=0.5, fid_by_samples=distances)
    halving = Halving(EVALUATION, [earlier], print)
    assert decide(halving, trial("a"), 1, 1.1) == "STOP"
    assert decide(halving, trial("b"), 1, 0.9) == "CONTINUE"
    assert decide(halving, trial("b"), 2, 0.8) == "STOP"


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 10])
@pytest.mark.parametrize("rungs", [1, 2, 3, 5])
def test_every_rung_counts_whatever_the_factor(factor, rungs):
    counts = tuple(250 * (k + 1) for k in range(rungs))
    halving = Halving(Evaluation(samples=5000, rungs=counts, reduction_factor=factor), [], print)
    one, other = trial("a"), trial("b")
    for rung in range(1, rungs + 1):
        assert decide(halving, one, rung, 1.0) == "CONTINUE"
        assert decide(halving, other, rung, 2.0 if rung == rungs else 0.9) == (
            "STOP" if rung == rungs else "CONTINUE"
        )
