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

    def spent(self) -> str | None:
        """The budget that no further job fits into; None while one does."""
        own = self.settings
        if own.time_budget is not None:
            expected = sum(self.durations) / len(self.durations) if self.durations else 0.0
            if time.monotonic() + expected > self.began + own.time_budget:
                return "time_budget"
        limits = {name: getattr(own, name) for name in ("cpu_hours", "gpu_hours")}
        limits["evaluation_budget"] = own.evaluation_budget
        if not any(limits.values()):
            return None
        found = self.cost()
        found["evaluation_budget"] = found["search_evaluations"] + found["sampling_evaluations"]
        over = [name for name, limit in limits.items() if limit and found[name] >= limit]
        return over[0] if over else None
