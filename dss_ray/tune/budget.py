"""When a sweep has spent what it may."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dss_ray.config.sweep import SweepSettings


class Budget:
    """All budgets of a sweep but the number of trials.

    Args:
        settings: of the sweep.
        cost: what it came to so far, as of ``dss_ray.records.cost``, earlier runs included.
        began: monotonic time at which this run began, from which the time budget counts.
    """

    def __init__(
        self, settings: SweepSettings, cost: Callable[[], dict[str, Any]], began: float
    ) -> None:
        self.settings, self.cost, self.began = settings, cost, began
        self.durations = list[float]()  # seconds of the jobs that ended

    @property
    def seconds_left(self) -> float | None:
        """Until the time budget is over, below zero after it; None without one."""
        own = self.settings.time_budget
        return None if own is None else self.began + own - time.monotonic()

    def spent(self) -> str | None:
        """The budget that no further job fits into; None while one does."""
        expected = sum(self.durations) / len(self.durations) if self.durations else 0.0
        if self.seconds_left is not None and self.seconds_left < expected:
            return "time_budget"
        over = [name for name, share in self.shares().items() if share >= 1]
        return over[0] if over else None

    def share(self) -> float:
        """How much of the budget that is nearest its end is spent."""
        own, left, shares = self.settings.time_budget, self.seconds_left, [*self.shares().values()]
        if own is not None and left is not None:
            shares.append(1 - left / own)
        return max(shares, default=0.0)

    def shares(self) -> dict[str, float]:
        """How much of each budget but time is spent."""
        names = "cpu_hours", "gpu_hours", "evaluation_budget"
        limits = {name: limit for name in names if (limit := getattr(self.settings, name))}
        if not limits:
            return {}
        found = self.cost()
        found["evaluation_budget"] = found["search_evaluations"] + found["sampling_evaluations"]
        return {name: found[name] / limit for name, limit in limits.items()}
