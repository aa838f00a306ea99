import pytest

from dss_ray.errors import UsageError
from dss_ray.evaluation.plan import EvaluationPlan


@pytest.mark.parametrize("count", [2, 249, 250, 251, 1000, 1797])
def test_chunks_cover_each_sample_once(count):
    samples = [
        index
        for chunk in EvaluationPlan(count, seed=0, domain="evaluation")
        for index in range(chunk.first, chunk.first + chunk.count)
    ]
    assert samples == list(range(count))


def test_a_longer_plan_begins_with_the_chunks_of_a_shorter_one():
    short, long = (list(EvaluationPlan(count, 0, "selection")) for count in (500, 2000))
    assert long[: len(short)] == short


def test_rmse_is_taken_on_the_first_2000_samples():
    counts = [EvaluationPlan(count, 0, "evaluation").rmse_samples for count in (500, 2000, 50_000)]
    assert counts == [500, 2000, 2000]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1}, "at least 2 samples"),
        ({"chunk": 0}, "in chunks of 0"),
        ({"domain": "evalution"}, "did you mean 'evaluation'"),
    ],
)
def test_a_wrong_plan_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        EvaluationPlan(**({"count": 500, "seed": 0, "domain": "evaluation"} | change))
