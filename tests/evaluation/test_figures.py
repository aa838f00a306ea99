import numpy as np
import pytest

from dss_ray.errors import UsageError
from dss_ray.evaluation.evaluate import EvaluationResult
from dss_ray.evaluation.figures import Figure, fid_name, figures


def result(fid=1.0, rmse=0.1, samples=2000, features="digits-cnn"):
    return EvaluationResult(fid, features, "digits", rmse, samples, 1, 0.0)


def test_mean_and_spread_are_those_of_numpy_with_one_degree_of_freedom_lost():
    values = [1.0, 4.0, 2.5]
    found = figures([result(fid=value, rmse=value / 10) for value in values])
    assert found["fid"].values == tuple(values)
    assert found["fid"].spread == pytest.approx(np.std(values, ddof=1))
    assert found["rmse"].mean == pytest.approx(np.mean(values) / 10)


def test_one_seed_has_no_spread():
    assert figures([result(fid=3.0)])["fid"] == Figure(3.0, None, (3.0,))


def test_a_metric_that_was_not_measured_is_left_out():
    assert list(figures([result(fid=None, features=None)])) == ["rmse"]


@pytest.mark.parametrize("other", [{"samples": 1000}, {"features": "inception"}, {"rmse": None}])
def test_results_of_different_kinds_are_not_mixed(other):
    with pytest.raises(UsageError, match="equal samples, extractor and reference"):
        figures([result(), result(**other)])


def test_plain_fid_is_inceptions_alone():
    assert [fid_name(name) for name in ("inception", "digits-cnn")] == ["FID", "FID[digits-cnn]"]
