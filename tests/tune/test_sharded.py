"""One evaluation in this process, and the same one in chunks on a real Ray cluster."""

import pytest

from dss_ray import api
from dss_ray.evaluation.figures import METRICS
from dss_ray.evaluation.judge import Judge
from dss_ray.tune.sharded import evaluate_on_cluster


@pytest.mark.slow
def test_a_cluster_gives_the_bits_of_one_process_for_every_metric(tmp_path, monkeypatch):
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path))
    model, judge = api.load_model("digits-sit"), Judge("digits-cnn")
    solver = api.load_solver("ab2", 3, model=model)
    asked = {"samples": 1100, "seeds": [0], "metrics": METRICS, "judge": judge}
    alone = api.evaluate(solver, model, **asked)
    assert evaluate_on_cluster(solver, "digits-sit", address="local", **asked) == alone
