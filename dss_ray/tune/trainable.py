"""The Ray Tune trainable: one job on one worker, a step for each rung of its evaluation."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ray.tune import Trainable

from dss_ray.config.sweep import Baselines, Evaluation
from dss_ray.models.meter import Meter
from dss_ray.tune.cluster import enter, use_assigned_cpus
from dss_ray.tune.job import Job
from dss_ray.tune.outcome import Outcome
from dss_ray.tune.work import run_job

SOON, STDERR = 1e-3, 2  # seconds; the file descriptor that a worker logs to
OUTCOME, RUNG, DISTANCE, DONE = "outcome", "rung", "distance", "done"  # keys of a result


class JobTrainable(Trainable):
    """Does the job of its configuration; a worker takes one after the other.

    Each step reports the outcome so far, so that it is whole when a scheduler stops the trial. A
    failure is reported with its reason first and raised in the next step: what a step raises
    reaches Tune without a result.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take a job on, in the driver's folder where the worker sees it."""
        enter(config["folder"])
        self.job = Job(
            kind=config["kind"],
            model=config["model"],
            values=config["values"],
            evaluation=Evaluation(**config["evaluation"]),
            baselines=Baselines(**config["baselines"]),
            device=config["device"],
            start=config["start"],
        )
        self.rung, self.error, self.limit = 0, "", config["trial_seconds"]
        self.work: Iterator[Outcome] = run_job(self.job)
        self.began, self.network = time.perf_counter(), Meter.process_seconds

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another job on: importing torch in a fresh worker takes seconds."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Search and judge, or judge on more samples."""
        if self.error:
            raise RuntimeError(self.error)
        use_assigned_cpus()
        torch.manual_seed(0)  # a reused worker keeps its random state otherwise
        try:
            with self.limited():
                outcome = next(self.work)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's model may raise anything
            self.error = f"{type(error).__name__}: {error}"
            outcome = Outcome(
                error=self.error,
                network_seconds=Meter.process_seconds - self.network,
                seconds=time.perf_counter() - self.began,
            )
            return {OUTCOME: outcome.model_dump_json()}
        self.rung += 1
        result = {OUTCOME: outcome.model_dump_json(), RUNG: self.rung}
        row = outcome.results[0].row
        if row.fid is not None:
            result[DISTANCE] = row.fid
        return result | {DONE: row.fid is None or row.samples >= self.job.evaluation.samples}

    @contextmanager
    def limited(self) -> Iterator[None]:
        """End the process when the job's time is up, even if it hangs in foreign code."""
        if self.limit is None:
            yield
            return
        left = self.limit - (time.perf_counter() - self.began)
        faulthandler.dump_traceback_later(max(left, SOON), exit=True, file=STDERR)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def job_config(job: Job, trial_seconds: float | None) -> dict[str, Any]:
    """``job`` and its time limit as the plain values of a Tune configuration."""
    return {
        "folder": str(Path.cwd()),
        "trial_seconds": trial_seconds,
        "kind": job.kind,
        "model": job.model,
        "values": job.values,
        "evaluation": job.evaluation.model_dump(mode="json"),
        "baselines": job.baselines.model_dump(mode="json"),
        "device": job.device,
        "start": job.start,
    }
