import numpy as np
import pytest

from dss_ray.errors import UsageError
from dss_ray.evaluation.figures import Figure, figures, metric_name
from dss_ray.evaluation.tally import EvaluationResult


def result(fid=1.0, rmse=0.1, samples=2000, features="digits-cnn", precision=None):
    recall = precision and precision / 2
    return EvaluationResult(fid, features, "digits", rmse, samples, 1, 0.0, precision, recall)


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


def test_precision_and_recall_have_a_spread_like_all_metrics():
    found = figures([result(precision=value) for value in (0.8, 0.9)])
    assert list(found) == ["fid", "rmse", "precision", "recall"]
    assert found["precision"].spread == pytest.approx(np.std([0.8, 0.9], ddof=1))
    assert found["recall"].values == (0.4, 0.45)


@pytest.mark.parametrize(
    "other",
    [{"samples": 1000}, {"features": "inception"}, {"rmse": None}, {"precision": 0.5}],
)
def test_results_of_different_kinds_are_not_mixed(other):
    with pytest.raises(UsageError, match="equal samples, extractor and reference"):
        figures([result(), result(**other)])


def test_plain_fid_is_inceptions_alone_and_rmse_knows_no_extractor():
    assert metric_name("fid", "inception") == "FID"
    assert metric_name("fid", "digits-cnn") == "FID[digits-cnn]"
    assert metric_name("sfid", "digits-cnn") == "sFID[digits-cnn]"
    assert metric_name("inception_score", "inception") == "inception_score"
    assert metric_name("recall", "digits-mlp") == "recall[digits-mlp]"
    assert metric_name("rmse", "digits-cnn") == metric_name("rmse", None) == "rmse"
