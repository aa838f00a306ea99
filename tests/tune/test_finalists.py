"""Who is judged again on fresh seeds."""

import pytest

from dss_ray.config.sweep import Evaluation
from dss_ray.tune.finalists import finalists


@pytest.mark.parametrize(("count", "names"), [(1, "a d e"), (2, "a b d e f"), (3, "a b c d e f")])
def test_the_best_of_each_step_count_and_kind(row, count, names):
    rows = [
        row("c", fid=3.0),
        row("a", fid=1.0),
        row("b", fid=2.0),
        row("d", fid=9.0, kind="classical"),
        row("f", fid=0.6, nfe=8),
        row("e", fid=0.5, nfe=8),
        row("stopped", fid=0.1, samples=50),
    ]
    assert [one.key for one in finalists(rows, Evaluation(finalists=count))] == names.split()


def test_those_that_have_their_figures_are_left_out(row, final):
    done = final("a", [1.0, 1.1, 0.9], 1.0)
    assert [one.key for one in finalists([done, row("b", fid=2.0)], Evaluation(finalists=2))] == [
        "b"
    ]
