"""The driver's book-keeping: bundles, pictures and rows at once, MLflow on a thread behind."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from torch import Tensor

from dss_ray.bundle import Bundle, load_bundle, write_bundle
from dss_ray.config.sweep import SweepSettings
from dss_ray.errors import StoreError
from dss_ray.records.lineage import keep_runs
from dss_ray.records.mlflow.recorder import IDENTITY, SweepRecorder
from dss_ray.records.mlflow.registry import Registered
from dss_ray.records.rows import Row, append_row, read_rows
from dss_ray.records.run_fields import run_name
from dss_ray.records.sample_plot import plot_samples
from dss_ray.records.solver_plot import plot_history, plot_solver
from dss_ray.tune.finalists import finalists
from dss_ray.tune.folder import MANIFEST, identity
from dss_ray.tune.job import Job
from dss_ray.tune.loaded import judged_by
from dss_ray.tune.outcome import Judged, Outcome
from dss_ray.tune.study import excesses

log = logging.getLogger(__name__)
AGAIN = 20.0  # seconds until a store that failed is tried again
LAG = 10.0  # seconds that the thread lets the sweep's own work go first


class Recorder:
    """Writes what happens in a sweep: first to the disk, then to MLflow.

    MLflow's import and its calls take seconds that Tune's loop must not wait for. They are made on
    a thread, and where many trials end at once also later: both threads share one interpreter,
    and the loop gives the workers their next trials. If the store fails, the sweep goes on; now
    and then the store is opened again, and what it lacks is recorded from the rows. A resumed
    sweep does so too.

    Args:
        folder: ``runs/NAME``.
        settings: of the sweep.
        resume: whether the folder holds an earlier run of it.

    Attributes:
        calm: cleared while Tune's loop has something to do.
        registered: once it is closed, the solvers that are better than every classical one, as
            model versions in MLflow.
    """

    def __init__(self, folder: Path, settings: SweepSettings, resume: bool) -> None:
        self.folder, self.settings, self.resume = folder, settings, resume
        self.path = folder / "rows.jsonl"
        self.rows = {row.identity: row for row in read_rows(self.path)}
        self.store: SweepRecorder | None = None
        self.registered: list[Registered] = []
        self.failure: StoreError | None = None
        self.again_at = 0.0  # monotonic time at which a failed store is tried again
        self.tasks = queue.SimpleQueue[tuple[float, Callable[[], None]] | None]()
        self.calm = threading.Event()
        self.calm.set()
        self.thread = threading.Thread(target=self.work, name="recorder", daemon=True)
        self.thread.start()
        self.later(self.open_store)

    def later(self, task: Callable[[], None], at_once: bool = False) -> None:
        """Queue a task that needs the store."""
        self.tasks.put((time.monotonic(), partial(self.stored, task, at_once)))

    def work(self) -> None:
        """Do what is queued until None comes."""
        while (queued := self.tasks.get()) is not None:
            since, task = queued
            self.calm.wait(max(0.0, since + LAG - time.monotonic()))
            with unharmed():
                task()

    def stored(self, task: Callable[[], None], at_once: bool = False) -> None:
        """Do a task that needs the store.

        While the store fails it is left out: the rows, from which a store that is opened again
        records what it lacks, make up for it.
        """
        if self.failure and not at_once and time.monotonic() < self.again_at:
            return
        try:
            if self.failure:
                self.resume = True
                self.open_store()
                self.failure = None
            task()
        except StoreError as error:
            self.failure, self.again_at = error, time.monotonic() + AGAIN

    def open_store(self) -> None:
        """Open MLflow, and record there what it lacks of an earlier run."""
        swept = [dimension.name for dimension in self.settings.space() if dimension.swept]
        fixed = {d.name: d.choices[0] for d in self.settings.space() if not d.swept}
        judge = self.settings.evaluation.judge()
        fixed[IDENTITY] = identity(self.folder)
        features = judged_by(self.settings.models[0], judge)[1].label
        self.store = SweepRecorder(
            self.settings.name, swept=swept, features=features, constants=fixed, resume=self.resume
        )
        for row in list(self.rows.values()) if self.resume else []:
            if (row.key, row.final) not in self.store.recorded:
                self.publish(row)

    @property
    def opened(self) -> SweepRecorder:
        """The store, which the first task opens."""
        assert self.store
        return self.store

    def began(self, job: Job, number: int | None) -> None:
        """A job starts."""
        if job.kind == "searched":
            params = self.params(job)
            name = run_name(number, params)
            self.later(lambda: self.opened.begin(job.key, params, name))

    def params(self, job: Job) -> dict[str, int | float | str]:
        """The swept values of a job."""
        swept = {dimension.name for dimension in self.settings.space() if dimension.swept}
        return {name: value for name, value in job.values.items() if name in swept}

    def violated(self, row: Row) -> list[str]:
        """The constraints that a searched solver breaks; what it is compared with has none."""
        found = excesses(row, self.settings.constraints) if row.searched else {}
        return [name for name, excess in found.items() if excess > 0]

    def ended(self, job: Job, number: int | None, outcome: Outcome) -> None:
        """Write down an outcome: bundles and pictures first, then the rows that name them."""
        if outcome.error:
            self.write(failed_row(job, number, outcome))
        for result in outcome.results:
            place = Path("trials") / result.row.key / "solver.json"
            write_bundle(result.bundle, self.folder / place)
            more = {
                "trial": number,
                "bundle": str(place),
                "params": self.params(job),
                "violated": self.violated(result.row),
                "network_seconds": outcome.network_seconds / len(outcome.results),
                "worker_seconds": outcome.seconds / len(outcome.results),
            }
            self.write(result.row.model_copy(update=more), result)

    def write(self, row: Row, result: Judged | None = None) -> None:
        """Append ``row``, after the pictures that a kill would lose, and queue the rest."""
        self.rows[row.identity] = row
        if result is not None and self.leads(row):
            with unharmed():
                draw(self.folder / str(row.bundle), result.bundle, result.pictures.images())
        append_row(self.path, row)
        self.later(partial(self.publish, row))

    def leads(self, row: Row) -> bool:
        """Whether a solver would be a finalist just now, as all finalists were when they ended.

        Pictures of the others would take more of the driver's time than all its other work.
        """
        leading = finalists(self.rows.values(), self.settings.evaluation)
        return row.identity in {one.identity for one in leading}

    def publish(self, row: Row) -> None:
        """Record ``row`` with its files in MLflow."""
        files, history = list[Path](), {}
        if row.bundle:
            bundle = load_bundle(self.folder / row.bundle)
            history = bundle.search.history if bundle.search else {}
            files = sorted((self.folder / row.bundle).parent.iterdir())
        self.opened.finish(row, history, files)

    def close(self, interrupted: bool) -> None:
        """Finish what is queued, register champions; say so if MLflow could not be written."""
        rows, manifest = list(self.rows.values()), self.folder / MANIFEST

        def finish() -> None:
            self.opened.close(rows, files=[manifest], interrupted=interrupted)
            keep_runs(self.folder, self.opened.runs)
            if not interrupted:
                self.registered = self.opened.register(rows, self.folder)

        self.later(finish, at_once=True)
        self.tasks.put(None)
        self.thread.join()
        if self.failure:
            log.warning(
                "%s; all results are in %s, and --resume records them", self.failure, self.path
            )


@contextmanager
def unharmed() -> Iterator[None]:
    """The book-keeping goes on, whatever goes wrong with a picture or a record."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        log.warning("a trial's pictures or records are incomplete (%s)", error)


def failed_row(job: Job, number: int | None, outcome: Outcome) -> Row:
    """The row of a job that failed."""
    method = job.values.get("method")
    return Row(
        key=job.key,
        trial=number,
        status="failed",
        model=job.model,
        nfe=int(job.values["nfe"]),
        kind="searched" if job.kind == "searched" else "classical",
        searched=job.kind == "searched",
        solver=f"{method}-{job.values['nfe']}" if method else job.kind,
        guidance=float(job.values.get("guidance", 1.0)),
        method=None if method is None else str(method),
        grid=str(job.values.get("grid", "-")),
        network_seconds=outcome.network_seconds,
        worker_seconds=outcome.seconds,
        params=dict(job.values) if job.kind == "searched" else {},
        error=outcome.error,
    )


def draw(place: Path, bundle: Bundle, images: Tensor) -> None:
    """The pictures of a trial beside its bundle: samples, and of a search times, weights, history.

    Tables known by name are left out: the driver's time is taken from the workers' cores.
    """
    if bundle.search:
        plot_solver(bundle.table, place.with_name("solver.png"), bundle.name)
        plot_history(bundle.search.history, place.with_name("history.png"))
    columns = len(images) // 2
    if images.ndim == 4 and images.shape[1] in (1, 3):
        rows = ["teacher", bundle.name]
        plot_samples(images / 255, place.with_name("samples.png"), columns, rows)
