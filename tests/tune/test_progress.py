"""What a sweep says of itself while it runs."""

import pytest

from dss_ray.tune import progress as module
from dss_ray.tune.progress import Progress


@pytest.mark.parametrize(
    ("total", "before", "spent", "expected"),
    [
        (20, 0.0, 0.0, "1:40 left"),  # ten more pieces at ten seconds each
        (10_000, 0.0, 0.25, "5:00 left"),  # a quarter of the budget took 100 s
        (10_000, 0.5, 0.75, "1:40 left"),  # a resumed sweep: half was spent before
        (12, 0.0, 0.25, "0:20 left"),  # the pieces are done first
    ],
)
def test_the_time_left_is_that_of_the_pieces_or_of_the_budget(
    monkeypatch, capsys, total, before, spent, expected
):
    clock, share = [1000.0], [before]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    progress = Progress("name", list)
    progress.start("trials", total, running=lambda: 2, spent=lambda: share[0])
    assert "left" not in progress.status()
    clock[0], share[0] = 1100.0, spent
    for number in range(10):
        progress.ended_one(failed=number == 3)
    assert progress.status() == (
        f"name: trials 10/{total}, 2 running, 1 failed, 1:40 passed, {expected} in this phase"
    )
    capsys.readouterr()
