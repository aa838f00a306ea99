"""A whole sweep: baselines and trials on Ray Tune, then the finalists, then the leaderboard."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dss_ray.config.sweep import SweepSettings
from dss_ray.records.cost import cost
from dss_ray.records.leaderboard import leaderboard_rows
from dss_ray.records.mlflow.registry import Registered
from dss_ray.records.rows import Row
from dss_ray.records.runs import RUNS, sweep_rows
from dss_ray.tune.baselines import baseline_jobs
from dss_ray.tune.budget import Budget
from dss_ray.tune.cluster import Crowd, connect, hosts_now
from dss_ray.tune.finalists import evaluate_finalists, finalists
from dss_ray.tune.folder import freeze, identity, locked, place
from dss_ray.tune.interrupts import ignore_interrupts, shielded
from dss_ray.tune.job import Job
from dss_ray.tune.outcome import Outcome
from dss_ray.tune.progress import Progress
from dss_ray.tune.recorder import Recorder
from dss_ray.tune.samplers import Chooser
from dss_ray.tune.storage import check_shared, failures, open_storage, shared_storage, translated
from dss_ray.tune.study import Study
from dss_ray.tune.warm_start import warm_points

if TYPE_CHECKING:  # importing Ray Tune takes two seconds
    from dss_ray.tune.searcher import StudySearcher


@dataclass(frozen=True)
class SweepSummary:
    """What a sweep came to.

    Args:
        name: of the sweep.
        trials: searched trials on record, failed ones included.
        failed: how many of them failed.
        board: the leaderboard's rows.
        cost: network evaluations, samples and hours, see ``dss_ray.records.cost``.
        spent: the budget that ended it before its trials were done; None where none did.
        left: how many jobs it left then.
        interrupted: whether it was stopped and can be resumed.
        registered: the solvers that beat every classical one, as model versions in MLflow.
        busy: share of the workers' time, from the cluster's start on, that their processors spent
            inside network evaluations; waiting does not count.
    """

    name: str
    trials: int
    failed: int
    board: list[dict[str, Any]]
    cost: dict[str, Any]
    spent: str | None
    left: int
    interrupted: bool
    registered: list[Registered]
    busy: float


def run_sweep(
    settings: SweepSettings, *, address: str | None = None, resume: bool = False
) -> SweepSummary:
    """Run the sweep ``settings.name`` in ``runs/NAME``, or go on with it.

    Raises:
        UsageError: if the name exists already, or does not when it is to be resumed, or more than
            budgets changed, or the cluster cannot run a trial.
        StoreError: if the disk or the database refuses; what was written before is kept.
    """
    with locked(place(settings, resume)):
        folder = place(settings, resume)  # again: it may have been taken before the lock was
        if resume or shared_storage():
            open_storage(folder)  # a database that refuses does so before Ray starts
        connect(address, settings.resources)
        import ray

        try:
            check_shared(hosts_now())
            with translated(folder):
                if not resume:
                    freeze(folder, settings)
                crowd = Crowd(settings.resources, settings.concurrency, joined=address is not None)
                return Sweep(settings, folder, crowd, resume).run()
        finally:
            ray.shutdown()


class Sweep:
    """A sweep on a connected cluster.

    Args:
        settings: of the sweep.
        folder: ``runs/NAME``.
        crowd: says how many trials run at once.
        resume: whether the folder holds an earlier run.
    """

    def __init__(self, settings: SweepSettings, folder: Path, crowd: Crowd, resume: bool) -> None:
        self.settings, self.folder, self.crowd = settings, folder, crowd
        self.began, self.network_seconds = time.monotonic(), 0.0
        self.recorder = Recorder(folder, settings, resume)
        self.progress = Progress(settings.name, self.rows)
        self.studies = dict[str, Study]()
        self.spent: str | None = None
        self.left = 0

    def rows(self) -> list[Row]:
        """All rows so far."""
        return list(self.recorder.rows.values())

    def cost(self) -> dict[str, Any]:
        """What the sweep came to so far."""
        return cost(self.rows(), self.settings.resources.cpus, self.settings.resources.gpus)

    def run(self) -> SweepSummary:
        """Everything; an interrupt leaves a sweep that can be resumed."""
        interrupted = True
        try:
            with self.progress:
                self.run_jobs()
                self.run_finalists()
            interrupted = False
        except KeyboardInterrupt:
            self.progress.tell(at_once=True)
        finally:
            ignore_interrupts()
            with suppress(*failures()):  # those that fail now wait when the sweep is resumed
                for study in self.studies.values():
                    study.requeue()
                    study.flush()
            held = self.crowd.seconds() * self.settings.resources.cpus
            busy = self.network_seconds / held
            self.recorder.close(interrupted)
        trials = [row for row in self.rows() if row.searched]
        failed = sum(row.status == "failed" for row in trials)
        return SweepSummary(
            name=self.settings.name,
            trials=len(trials),
            failed=failed,
            board=leaderboard_rows(self.rows()),
            cost=self.cost(),
            spent=self.spent,
            left=self.left,
            interrupted=interrupted,
            registered=self.recorder.registered,
            busy=busy,
        )

    def run_jobs(self) -> None:
        """Baselines and trials, until the budget is spent."""
        searcher = self.searcher()
        if not searcher.left:
            return
        self.progress.start(
            "baselines and trials",
            searcher.left,
            running=lambda: len(searcher.jobs),
            spent=searcher.budget.share,
        )
        from ray import tune

        from dss_ray.tune.halving import Halving
        from dss_ray.tune.memory_kills import memory_kills_are_deaths
        from dss_ray.tune.searcher import Delivery
        from dss_ray.tune.trainable import JobTrainable

        resources = {"cpu": self.settings.resources.cpus, "gpu": self.settings.resources.gpus}
        storage, left = (self.folder / "ray").resolve(), searcher.budget.seconds_left
        tuner = tune.Tuner(
            tune.with_resources(JobTrainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=Halving(self.settings.evaluation, self.rows(), searcher.died),
                num_samples=-1,  # the searcher says when there are no more
                time_budget_s=None if left is None else max(left, 1.0),
                reuse_actors=True,  # a fresh worker would import torch for every trial
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name=str(time.time_ns()),
                storage_path=str(storage),
                verbose=0,
                callbacks=[Delivery(searcher.outcomes, searcher.started, self.recorder.calm)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            with memory_kills_are_deaths():
                tuner.fit()
        except Exception:
            if searcher.failure:
                raise searcher.failure  # noqa: B904 - its own cause says more than Tune's wrapping
            raise
        finally:
            self.recorder.calm.set()
        for study in self.studies.values():
            study.flush()
        self.left = searcher.left
        self.spent = searcher.budget.spent() if self.left else None

    @shielded()
    def searcher(self) -> StudySearcher:
        """What hands out the jobs that are left, the studies knowing all that is on record."""
        from dss_ray.tune.searcher import StudySearcher

        own, storage = self.settings, open_storage(self.folder)
        prefix = f"{own.name} {identity(self.folder)[:8]} " if shared_storage() else ""
        space = own.space()
        chooser = Chooser(own.sampler, own.seed, own.objectives, own.constraints)
        earlier = [row for name in own.warm_start for row in sweep_rows(RUNS, name)]
        studies = self.studies = {
            model: Study(
                storage,
                f"{prefix}{model}",
                space,
                chooser,
                first=warm_points(space, earlier, model),
            )
            for model in own.models
        }
        for row in self.rows():
            if row.trial is not None:
                studies[row.model].settle(row.trial, row)
        for study in studies.values():
            study.requeue()
        done = {row.key.partition("-")[0] for row in self.rows()}
        return StudySearcher(
            self.settings,
            studies,
            queue=[(job, None) for job in baseline_jobs(self.settings) if job.key not in done],
            done=done,
            crowd=self.crowd,
            budget=Budget(self.settings, self.cost, self.began),
            began=self.recorder.began,
            ended=self.ended_job,
        )

    def ended_job(self, job: Job, number: int | None, outcome: Outcome) -> None:
        """Write down what a job brought."""
        self.network_seconds += outcome.network_seconds
        self.recorder.ended(job, number, outcome)
        self.progress.ended_one(failed=outcome.error is not None)

    def run_finalists(self) -> None:
        """Evaluate the best of each kind on the fresh seeds."""
        chosen = finalists(self.rows(), self.settings.evaluation)
        if chosen:
            self.progress.start("finalists on fresh seeds", len(chosen))
            evaluate_finalists(chosen, self.folder, self.settings, self.finished_final)

    @shielded()
    def finished_final(self, row: Row, network_seconds: float) -> None:
        """Write down a finalist's figures."""
        self.network_seconds += network_seconds
        self.recorder.write(row)
        self.progress.ended_one()
