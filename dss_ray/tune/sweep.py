"""A whole sweep: baselines and trials on Ray Tune, then the finalists, then the leaderboard."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dss_ray.bundle import software_versions
from dss_ray.config.space import Dimension
from dss_ray.config.sweep import SweepSettings
from dss_ray.errors import FileError, UsageError
from dss_ray.records.leaderboard import leaderboard_rows
from dss_ray.records.rows import Row
from dss_ray.tune.cluster import connect
from dss_ray.tune.finalists import evaluate_finalists, finalists
from dss_ray.tune.job import Job
from dss_ray.tune.outcome import Outcome
from dss_ray.tune.progress import Progress
from dss_ray.tune.recorder import Recorder
from dss_ray.tune.study import Study

RUNS = Path("runs")
MAY_CHANGE = {"trials", "time_budget", "concurrency"}  # on resume; all else would mix results
GUIDANCE_POINTS = 3  # of a guidance range at which the baselines are evaluated


@dataclass(frozen=True)
class SweepSummary:
    """What a sweep came to.

    Args:
        name: of the sweep.
        trials: searched trials on record, failed ones included.
        failed: how many of them failed.
        board: the leaderboard's rows.
        interrupted: whether it was stopped and can be resumed.
        busy: share of the workers' time, from the cluster's start on, that their processors spent
            inside network evaluations; waiting does not count.
    """

    name: str
    trials: int
    failed: int
    board: list[dict[str, Any]]
    interrupted: bool
    busy: float


class Load:
    """How busy the workers are: processor seconds of the network against seconds of the workers."""

    def __init__(self, workers: int) -> None:
        self.workers, self.began, self.network = workers, time.monotonic(), 0.0

    @property
    def busy(self) -> float:
        """The share so far."""
        return self.network / (self.workers * (time.monotonic() - self.began))


def run_sweep(
    settings: SweepSettings, *, address: str | None = None, resume: bool = False
) -> SweepSummary:
    """Run or resume the sweep ``settings.name`` in ``runs/NAME``.

    Raises:
        UsageError: if the name exists already, or does not when it is to be resumed, or more than
            budgets changed, or the cluster cannot run a trial.
    """
    folder = RUNS / settings.name
    claim(folder, settings, resume)
    with locked(folder):
        slots = connect(address, settings.resources)
        import ray

        try:
            return conduct(settings, folder, slots, resume)
        finally:
            ray.shutdown()


def conduct(settings: SweepSettings, folder: Path, slots: int, resume: bool) -> SweepSummary:
    """The sweep on a connected cluster."""
    workers = min(slots, settings.concurrency or slots)
    load, recorder = Load(workers * settings.resources.cpus), Recorder(folder, settings, resume)
    interrupted = True
    with Progress(settings.name, lambda: list(recorder.rows.values())) as progress:
        try:
            run_jobs(settings, folder, workers, recorder, progress, load)
            run_finalists(settings, folder, recorder, progress, load)
            interrupted = False
        except KeyboardInterrupt:
            progress.tell(at_once=True)
        busy = load.busy
        recorder.close(interrupted)
    rows = list(recorder.rows.values())
    trials = [row for row in rows if row.searched]
    failed = sum(row.status == "failed" for row in trials)
    return SweepSummary(
        settings.name, len(trials), failed, leaderboard_rows(rows), interrupted, busy
    )


def run_jobs(
    settings: SweepSettings,
    folder: Path,
    workers: int,
    recorder: Recorder,
    progress: Progress,
    load: Load,
) -> None:
    """Baselines and trials, until the budget is spent."""
    from ray import tune

    from dss_ray.tune.searcher import StudySearcher
    from dss_ray.tune.trainable import trainable

    studies = {
        model: Study(folder / "study.db", model, settings.space(), settings.seed)
        for model in settings.models
    }
    done = {row.key.partition("-")[0] for row in recorder.rows.values()}
    queue = [job for job in baseline_jobs(settings) if job.key not in done]
    settle(studies, recorder)

    def began(job: Job, number: int | None) -> None:
        recorder.began(job, number)
        progress.began_one()

    def ended(job: Job, number: int | None, outcome: Outcome) -> None:
        load.network += outcome.network_seconds
        recorder.ended(job, number, outcome)
        progress.ended_one(failed=outcome.error is not None)

    limit = settings.time_budget
    deadline = None if limit is None else time.monotonic() + limit
    searcher = StudySearcher(settings, studies, queue, done, deadline, began, ended)
    total = len(queue) + sum(max(0, left) for left in searcher.open.values())
    if not total:
        return
    progress.start("baselines and trials", total)
    resources = {"cpu": settings.resources.cpus, "gpu": settings.resources.gpus}
    tuner = tune.Tuner(
        tune.with_resources(trainable, resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=total,
            max_concurrent_trials=workers,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=f"ray-{time.time_ns()}", storage_path=str(folder.resolve() / "ray"), verbose=0
        ),
    )
    try:
        tuner.fit()
    finally:
        for study in studies.values():
            study.requeue()


def settle(studies: dict[str, Study], recorder: Recorder) -> None:
    """Tell the studies what a killed sweep had written down, and requeue what it had not."""
    for row in recorder.rows.values():
        if row.trial is not None:
            studies[row.model].settle(row.trial, row.nfe, row.selection_fid or row.fid, row.error)
    for study in studies.values():
        study.requeue()


def run_finalists(
    settings: SweepSettings, folder: Path, recorder: Recorder, progress: Progress, load: Load
) -> None:
    """The best of each kind on the fresh seeds."""
    chosen = finalists(recorder.rows.values(), settings.evaluation)
    progress.start("finalists on fresh seeds", len(chosen))

    def done(row: Row, network_seconds: float) -> None:
        load.network += network_seconds
        recorder.write(row)
        progress.ended_one()

    evaluate_finalists(chosen, folder, settings.evaluation, settings.resources, done)


def baseline_jobs(settings: SweepSettings) -> Iterator[Job]:
    """One job per model, NFE and guidance, the longest first and guidance values in turn."""
    space = {dimension.name: dimension for dimension in settings.space()}
    guidances = points(space["guidance"], GUIDANCE_POINTS) if "guidance" in space else [1.0]
    for model in settings.models:
        for nfe in sorted(points(space["nfe"]), reverse=True):
            for guidance in guidances:
                values = {"nfe": int(nfe), "guidance": float(guidance)}
                yield Job("baseline", model, values, settings.evaluation, settings.baselines)


def points(dimension: Dimension, most: int | None = None) -> list[float]:
    """The values of a numeric dimension: its choices, or those of a range, ``most`` at the most."""
    if dimension.choices:
        return [float(choice) for choice in dimension.choices]
    count = int((dimension.high - dimension.low) / (dimension.step or 1)) + 1
    count = count if most is None else most
    width = (dimension.high - dimension.low) / max(1, count - 1)
    return [dimension.low + width * index for index in range(count)]


def claim(folder: Path, settings: SweepSettings, resume: bool) -> None:
    """Create the sweep's folder with its frozen settings, or check that they are the same."""
    frozen = folder / "config.json"
    document = settings.model_dump(mode="json")
    if not resume:
        if frozen.exists():
            raise UsageError(
                f"sweep '{settings.name}' exists in {folder}: add --resume to go on with it, or "
                "choose another --name"
            )
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {"settings": document, "versions": software_versions()}
        draft = frozen.with_suffix(".tmp")
        draft.write_text(json.dumps(manifest, indent=1))
        draft.replace(frozen)
        return
    try:
        earlier = json.loads(frozen.read_text())["settings"]
    except OSError:
        raise UsageError(f"sweep '{settings.name}': nothing to resume in {folder}") from None
    except (ValueError, KeyError):
        raise FileError(f"{frozen}: no readable settings; restore it or use a new --name") from None
    for key, value in document.items():
        if key not in MAY_CHANGE and earlier.get(key) != value:
            raise UsageError(
                f"sweep '{settings.name}': '{key}' differs from the earlier run, and only "
                f"{', '.join(sorted(MAY_CHANGE))} may change on --resume; use a new --name"
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One driver at a time: two would write the same study and the same rows."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"sweep '{folder.name}' is running already, in {folder}") from None
        file.write(str(os.getpid()))
        yield
