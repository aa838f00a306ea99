"""Who is judged again on fresh seeds."""

import pytest

from dss_ray.config.sweep import Evaluation
from dss_ray.records.rows import Row
from dss_ray.tune.finalists import finalists


def row(key, fid, nfe=5, kind="searched", samples=2000, **more):
    return Row(
        key=key,
        status="done",
        model="digits-sit",
        nfe=nfe,
        kind=kind,
        searched=kind == "searched",
        solver=key,
        guidance=1.0,
        fid=fid,
        rmse=0.1,
        samples=samples,
        features="digits-cnn",
        **more,
    )


@pytest.mark.parametrize(("count", "names"), [(1, "a d e"), (2, "a b d e f"), (3, "a b c d e f")])
def test_the_best_of_each_step_count_and_kind(count, names):
    rows = [
        row("c", 3.0),
        row("a", 1.0),
        row("b", 2.0),
        row("d", 9.0, kind="classical"),
        row("f", 0.6, nfe=8),
        row("e", 0.5, nfe=8),
        row("stopped", 0.1, samples=250),
    ]
    assert [one.key for one in finalists(rows, Evaluation(finalists=count))] == names.split()


def test_those_that_have_their_figures_are_left_out():
    done = row("a", 1.0, fid_values=[1.0, 1.1, 0.9], selection_fid=1.0, final=True)
    assert [one.key for one in finalists([done, row("b", 2.0)], Evaluation(finalists=2))] == ["b"]
