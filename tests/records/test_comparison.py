"""Which distances may be compared, and who wins."""

from dataclasses import replace

import pytest

from dss_ray.records.comparison import INCOMPARABLE, Measurement, compare, judged

OURS = Measurement("m", "weights", "cnn", "digits", 500, (0, 1, 2), (1.0, 2.0, 3.0))
OTHERS = {
    "on m, not n": {"model": "n", "fingerprint": "other"},
    "other weights of m": {"fingerprint": "other"},
    "by cnn, not mlp": {"features": "mlp"},
    "measured from other statistics": {"reference": "other"},
    "not on fresh seeds yet": {"seeds": (), "values": ()},
    "of 500 samples, not 5,000": {"samples": 5000},
    "on seeds 0, 1, 2, not 0, 1": {"seeds": (0, 1), "values": (1.0, 2.0)},
}


@pytest.mark.parametrize(("reason", "change"), OTHERS.items(), ids=OTHERS)
def test_what_was_measured_otherwise_is_not_compared(reason, change):
    found = compare(OURS, replace(OURS, **change))
    assert (found.verdict, found.reason, found.change) == (INCOMPARABLE, reason, None)


def test_the_same_weights_under_another_name_are_the_same_model():
    assert compare(OURS, replace(OURS, model="m?path=elsewhere")).verdict == "tied"


def test_weights_that_are_not_on_record_are_never_the_same():
    unknown = replace(OURS, fingerprint="")
    assert compare(unknown, unknown).verdict == INCOMPARABLE


def test_a_single_seed_tells_nothing():
    single = replace(OURS, seeds=(0,), values=(1.0,))
    assert compare(single, single).reason == "on a single seed"


@pytest.mark.parametrize(
    ("theirs", "verdict"),
    [((1.5, 2.6, 3.5), "better"), ((0.5, 1.4, 2.5), "worse"), ((1.5, 1.6, 3.1), "tied")],
)
def test_the_mean_paired_difference_must_exceed_two_standard_errors(theirs, verdict):
    found = compare(OURS, replace(OURS, values=theirs))
    assert found.verdict == verdict
    assert found.change == pytest.approx(2.0 - sum(theirs) / 3)


def test_a_figure_may_be_better_where_it_is_higher():
    assert judged([0.9, 0.8], [0.7, 0.6], sign=-1).verdict == "better"
    assert judged([0.9, 0.8], [0.7, 0.6]).verdict == "worse"
