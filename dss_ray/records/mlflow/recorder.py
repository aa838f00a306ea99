"""Record sweeps in MLflow: a parent run per sweep, a child run per trial.

MLflow is a view of what happened; ``rows.jsonl`` is the record. Only the driver writes, with few
and batched calls: eight writers on one SQLite file took ten times longer per run than one.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dss_ray.records.leaderboard import leaderboard_rows, to_csv
from dss_ray.records.mlflow.registry import Registered, Registry, registered_lines
from dss_ray.records.mlflow.store import open_client, open_experiment, tracking_uri, translated
from dss_ray.records.notes import pictures, sweep_note, trial_note
from dss_ray.records.plots import plot_front
from dss_ray.records.rows import Param, Row
from dss_ray.records.run_fields import (
    History,
    distances,
    figures,
    front_points,
    losses,
    row_name,
)
from dss_ray.records.saved_view import saved_view
from dss_ray.records.version_fields import champions

if TYPE_CHECKING:  # importing mlflow takes seconds, and most commands record nothing
    from mlflow.entities import Run

IDENTITY = "dss.id"  # tag of a sweep that was started once and perhaps resumed
KEY, SWEEP = "dss.key", "dss.sweep"
FRONT = "front.png"
TEXT = 5000  # characters of a tag; stores refuse 8000 and more
NOTE, PARENT, VIEW = "mlflow.note.content", "mlflow.parentRunId", "mlflow.sharedViewState."


class SweepRecorder:
    """The writer of one sweep's runs; opening it ends those that a killed process left running.

    Args:
        name: of the sweep.
        swept: names of all swept values, so that every run has the same parameters.
        features: the extractor of the distances.
        constants: what is the same in every trial, as tags.
        resume: go on in the newest parent run of that name, if there is one.
        uri: of the store; ``tracking_uri()`` by default.

    Attributes:
        recorded: (key, whether as a finalist) of the trials that an earlier run recorded.

    Raises:
        StoreError: if the store cannot be opened; the methods too, where it fails them.
    """

    def __init__(
        self,
        name: str,
        *,
        swept: Sequence[str],
        features: str,
        constants: Mapping[str, Param],
        resume: bool = False,
        uri: str | None = None,
    ) -> None:
        self.name, self.swept, self.uri = name, tuple(swept), uri or tracking_uri()
        self.tags = {key: str(value) for key, value in constants.items()}
        self.tags |= {SWEEP: name, "features": features}
        with translated(self.uri):
            self.client = open_client(self.uri)
            self.experiment = open_experiment(self.client, self.uri)
            view = saved_view(name, features, swept)
            self.client.set_experiment_tag(self.experiment, f"{VIEW}{name}", view)
            found = self.parents() if resume else []
            self.parent = found[0].info.run_id if found else self.create(name, {})
            if found:
                self.client.update_run(self.parent, status="RUNNING")
            children = self.children()
            self.runs = {run.data.tags[KEY]: run.info.run_id for run in children}
            self.recorded = {
                (run.data.tags[KEY], "finalist" in run.data.tags)
                for run in children
                if run.info.status in ("FINISHED", "FAILED")
            }
        self.reconcile()
        self.filed = {key for key, _ in self.recorded}  # their files are there
        self.running = set(self.runs) - self.filed  # those that a kill cut short end when they end

    def begin(self, key: str, params: Mapping[str, Param], name: str) -> None:
        """Open the run of a trial that starts, or again the run that has this key."""
        self.running.add(key)
        with translated(self.uri):
            if key in self.runs:
                self.client.update_run(self.runs[key], status="RUNNING")
                return
            run = self.create(name or key, {KEY: key, PARENT: self.parent})
            from mlflow.entities import Param as Parameter

            # A parameter that some runs lack would drop those runs from the compare view's plots.
            values = dict.fromkeys(self.swept) | dict(params)
            pairs = [Parameter(n, "-" if v is None else str(v)) for n, v in values.items()]
            self.client.log_batch(run, params=pairs)
            self.runs[key] = run

    def finish(self, row: Row, history: History | None = None, files: Iterable[Path] = ()) -> None:
        """Record a trial's row, its search's losses and its files, and end its run.

        A later call with the final row adds the figures on fresh seeds.
        """
        if row.key not in self.runs:
            self.begin(row.key, row.params, row_name(row))
        run, failed, files = self.runs[row.key], row.status == "failed", list(files)
        tags = {"solver": row.solver, "kind": row.kind, "model": row.model}
        tags |= {"error": str(row.error)} if failed else {}
        tags |= {"stopped": "true"} if row.stopped else {}
        tags |= {"violated": ", ".join(row.violated)} if row.violated else {}
        tags |= {"finalist": "true"} if row.final and not failed else {}
        note = trial_note(row, pictures(run, files))
        tags |= {NOTE: note} if note else {}
        points = [(name, value, 0) for name, value in figures(row).items()]
        points += [] if row.final else distances(row)
        points += [("loss", loss, step) for step, loss in losses(history or {})]
        with translated(self.uri):
            self.log(run, points, tags)
            for file in files if row.key not in self.filed else []:
                self.client.log_artifact(run, str(file))
            self.filed.add(row.key)
            if failed or row.key in self.running:
                self.client.set_terminated(run, "FAILED" if failed else "FINISHED")
        self.running.discard(row.key)

    def reconcile(self) -> int:
        """End the sweep's trials that still run as KILLED; returns how many there were."""
        with translated(self.uri):
            running = [run for run in self.children() if run.info.status == "RUNNING"]
            for run in running:
                self.client.set_terminated(run.info.run_id, "KILLED")
        self.running = set()
        return len(running)

    def close(
        self, rows: Sequence[Row], *, files: Iterable[Path] = (), interrupted: bool = False
    ) -> None:
        """Give the parent the leaderboard of all rows, its picture and ``files``, and end it."""
        self.reconcile()
        board = leaderboard_rows(rows)
        ended = [row.status for row in rows if row.searched]
        points = [(f"trials_{end}", float(ended.count(end)), 0) for end in ("done", "failed")]
        with translated(self.uri), tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "leaderboard.csv").write_text(to_csv(board), encoding="utf-8")
            plot_front(rows, Path(folder) / FRONT, self.name)
            self.client.log_artifacts(self.parent, folder)
            for file in files:
                self.client.log_artifact(self.parent, str(file))
            self.log(self.parent, points + front_points(board), {NOTE: self.note(board, [])})
            self.client.set_terminated(self.parent, "KILLED" if interrupted else "FINISHED")

    def register(self, rows: Sequence[Row], folder: Path) -> list[Registered]:
        """Register the solvers that beat every classical one, and add them to the parent's note.

        Args:
            rows: of the sweep, the finalists on fresh seeds.
            folder: of the sweep, where their bundles lie.
        """
        board = leaderboard_rows(rows)
        registry = Registry(self.client, self.experiment)
        with translated(self.uri):
            found = [
                registry.register(
                    entry, rival, self.name, self.runs[entry["key"]], folder / entry["bundle"]
                )
                for entry, rival in champions(board)
            ]
            if found:
                self.log(self.parent, [], {NOTE: self.note(board, found)})
        return found

    def note(self, board: list[dict[str, Any]], found: Sequence[Registered]) -> str:
        """The parent's note."""
        front = pictures(self.parent, [Path(FRONT)])
        return sweep_note(board, [*registered_lines(found), *front])

    def create(self, name: str, tags: Mapping[str, str]) -> str:
        """A new run's id."""
        source = {"mlflow.source.name": "dss-ray sweep", "mlflow.source.type": "JOB"}
        tags = self.tags | source | dict(tags)
        return str(self.client.create_run(self.experiment, tags=tags, run_name=name).info.run_id)

    def log(
        self, run: str, points: Iterable[tuple[str, float, int]], tags: Mapping[str, str]
    ) -> None:
        """Write (metric, value, step) points of now, and tags, in one batch."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value, step in points]
        texts = [RunTag(name, text[:TEXT]) for name, text in tags.items()]
        self.client.log_batch(run, metrics, tags=texts)

    def parents(self) -> list[Run]:
        """The parent runs of sweeps of this name, the newest first."""
        found = self.find(f'tags.`{SWEEP}` = "{self.name}"')
        own = self.tags.get(IDENTITY)  # others' sweeps of the same name may lie in the same store
        return [r for r in found if KEY not in r.data.tags and r.data.tags.get(IDENTITY) == own]

    def children(self) -> list[Run]:
        """The runs of this sweep's trials."""
        return self.find(f"tags.`{PARENT}` = '{self.parent}'")

    def find(self, query: str) -> list[Run]:
        """All runs that match, the newest first."""
        found, token = list["Run"](), None
        while True:
            page = self.client.search_runs(
                [self.experiment], query, order_by=["start_time DESC"], page_token=token
            )
            found, token = found + list(page), page.token
            if not token:
                return found
