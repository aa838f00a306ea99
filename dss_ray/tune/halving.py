"""Asynchronous successive halving among the trials of one model and step count."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from dss_ray.config.sweep import Evaluation
from dss_ray.records.rows import Row
from dss_ray.tune.trainable import DISTANCE, RUNG

TIME = "halving_time"  # Tune's milestones lie at powers of the reduction factor
REASON = 500  # characters
PROCESSES = " OOM kill reason"  # Ray's words, once it has said how much memory was in use
RAISED = "ray::"  # begins the traceback of an exception, which its last line names
ANSI = re.compile(r"\x1b\[[0-9;]*m")
NO_CONTROLLER: Any = None  # these methods of Tune's scheduler do not use it


class Halving(FIFOScheduler):
    """Stops a trial whose distance at a rung is hopeless at its step count.

    Fewer queries give worse samples, so trials of different step counts are never compared, nor
    those of different models. Tune's own scheduler decides within each group (arXiv 1810.05934).

    Args:
        evaluation: with rungs and reduction factor.
        rows: earlier trials, which a resumed sweep compares with as well.
        died: told the id of a trial that raised or whose worker is gone, and why; of all that Tune
            calls a scheduler alone sees it before the searcher hears that the trial failed.
    """

    def __init__(
        self, evaluation: Evaluation, rows: Iterable[Row], died: Callable[[str, str], None]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.factor, self.rungs = evaluation.reduction_factor, evaluation.rungs
        self.died = died
        self.groups = dict[tuple[str, int], AsyncHyperBandScheduler]()
        for row in rows:
            if not row.searched:
                continue
            for rung, count in enumerate(self.rungs, start=1):
                if count in row.fid_by_samples:
                    earlier = SimpleNamespace(trial_id=row.key)
                    self.compare(earlier, (row.model, row.nfe), rung, row.fid_by_samples[count])

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Pass the reason on."""
        del tune_controller
        _, *found = ANSI.sub("", Path(trial.error_file).read_text()).splitlines()  # after the date
        if found and found[0].startswith(RAISED):
            found = found[-1:]
        reason, _, _ = " ".join(" ".join(found).split()).partition(PROCESSES)
        self.died(trial.trial_id, reason[:REASON])

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP or CONTINUE."""
        del tune_controller  # the groups' schedulers take none either
        config = trial.config
        if config["kind"] != "searched" or DISTANCE not in result:
            return str(self.CONTINUE)
        group = config["model"], int(config["values"]["nfe"])
        return self.compare(trial, group, int(result[RUNG]), float(result[DISTANCE]))

    def compare(self, trial: Any, group: tuple[str, int], rung: int, distance: float) -> str:
        """What Tune's scheduler of the group decides."""
        if group not in self.groups:
            self.groups[group] = AsyncHyperBandScheduler(
                time_attr=TIME,
                metric=DISTANCE,
                mode="min",
                max_t=self.factor ** len(self.rungs) + 1,  # the last milestone, rounding aside
                reduction_factor=self.factor,
                stop_last_trials=False,
            )
        scheduler = self.groups[group]
        if rung == 1:
            scheduler.on_trial_add(NO_CONTROLLER, trial)
        report = {TIME: self.factor ** (rung - 1), DISTANCE: distance}
        return str(scheduler.on_trial_result(NO_CONTROLLER, trial, report))
