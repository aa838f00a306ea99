"""Measure solvers on models that they were not searched on, beside the best classical ones."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dss_ray
from dss_ray.api import evaluate, named_bundle, search
from dss_ray.bundle import Bundle, fitted_to, load_bundle, save_bundle
from dss_ray.config.transfer import BASELINES, TransferSettings
from dss_ray.evaluation.judge import Judge
from dss_ray.models.guidance import guide
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.spec import short
from dss_ray.models.zoo import load_model
from dss_ray.records.mlflow.recorder import IDENTITY, SweepRecorder
from dss_ray.records.rows import Row, append_row, read_rows
from dss_ray.records.runs import ROWS_FILE
from dss_ray.records.transfer import METRICS, SOURCE
from dss_ray.records.transfer_plot import plot_transfer
from dss_ray.search.result import Progress
from dss_ray.solver.published import published_names, published_table
from dss_ray.tune.baselines import Kind, screened
from dss_ray.tune.folder import MANIFEST, freeze, locked, place

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A solver to be measured on a model.

    Args:
        kind: "searched", "classical" or "published".
        source: the model that it was searched on, the published family, or "classical".
        grid: of a classical one; the starting grid of a searched one.
        bundle: the solver, its guidance the transfer's.
    """

    kind: Kind
    source: str
    grid: str | None
    bundle: Bundle


def run_transfer(
    settings: TransferSettings, progress: Progress, *, resume: bool = False
) -> list[Row]:
    """Fill the table of the transfer ``settings.name`` in ``runs/NAME``, or go on with it.

    What is there is not computed again, be it a searched solver or a cell. ``progress`` is called
    with the pieces of work done and those in all.

    Raises:
        UsageError: if the name exists already, or does not when it is to be resumed, or settings
            differ.
    """
    with locked(place(settings, resume)):
        folder = place(settings, resume)  # again: it may have been taken before the lock was
        if not resume:
            freeze(folder, settings)
        return Transfer(settings, folder, progress).run()


class Transfer:
    """A transfer in its folder."""

    def __init__(self, settings: TransferSettings, folder: Path, progress: Progress) -> None:
        self.settings, self.folder, self.progress = settings, folder, progress
        self.models = {name: load_model(name) for name in settings.models}
        self.done = {row.key: row for row in read_rows(folder / ROWS_FILE)}

    def run(self) -> list[Row]:
        """All solvers on all models; then the pictures and the tracker."""
        solvers = self.solvers()
        counts, rows = sorted({bundle.table.nfe for bundle in solvers}), list[Row]()
        pairs = [(model, nfe) for model in self.models for nfe in counts]
        begun = 0 if self.settings.solvers else len(solvers)
        for number, (model, nfe) in enumerate(pairs):
            self.progress(begun + number, begun + len(pairs))
            rows += [self.cell(model, one) for one in self.candidates(model, nfe, solvers)]
            rows.append(self.classical(model, nfe))
        self.record(rows)
        return rows

    def solvers(self) -> list[Bundle]:
        """The bundles that are given, or one of each model and step count, searched."""
        if self.settings.solvers:
            return self.given()
        pairs = [(model, nfe) for model in self.models for nfe in self.settings.nfe]
        bundles = list[Bundle]()
        for number, (model, nfe) in enumerate(pairs):
            self.progress(number, 2 * len(pairs))  # as many pieces of measuring follow
            bundles.append(self.searched(model, nfe))
        return bundles

    def given(self) -> list[Bundle]:
        """The bundles that are given; those that no model here is the home of are told."""
        bundles = [load_bundle(Path(path)) for path in self.settings.solvers]
        homes = {model.fingerprint for model in self.models.values()}
        for path, bundle in zip(self.settings.solvers, bundles, strict=True):
            if bundle.model_fingerprint not in homes:
                log.warning(
                    "%s: searched on %s (weights %.8s), which is none of --models, so no figure "
                    "here shows what it does at home; add that model to see it",
                    *(path, bundle.model or "no model", bundle.model_fingerprint or "none"),
                )
        return bundles

    def searched(self, model: str, nfe: int) -> Bundle:
        """The solver of ``nfe`` queries for ``model``: its file, or else a search."""
        fingerprint = self.models[model].fingerprint
        path = self.folder / "bundles" / f"{digest(fingerprint)}-{nfe}.json"
        if path.exists():
            return load_bundle(path)
        own = self.settings
        bundle = search(
            self.models[model], nfe, method=own.method, guidance=own.guidance, resume=True
        )
        save_bundle(bundle, path)
        return bundle

    def candidates(self, model: str, nfe: int, solvers: list[Bundle]) -> Iterator[Candidate]:
        """Searched and published solvers of ``nfe`` queries, made to fit the model."""
        target, scale = self.models[model], self.settings.guidance
        for bundle in solvers:
            if bundle.table.nfe == nfe:
                grid = bundle.search.grid if bundle.search else None
                yield Candidate("searched", bundle.model, grid, fitted(bundle, target, scale))
        for name in published_names():
            table = published_table(name)
            if table.nfe == nfe:
                bundle = fitted(named_bundle(name, table, scale), target, scale)
                yield Candidate("published", name.rpartition("-")[0], None, bundle)

    def key(self, model: str, solver: str) -> str:
        """Hash of all that determines the figures of ``solver`` on a model."""
        own, target = self.settings, self.models[model]
        extractor = Judge().extractor(guide(target, 1.0))
        what = dss_ray.__version__, target.fingerprint, extractor.fingerprint, solver
        return digest(repr((*what, own.guidance, own.samples, own.seeds)))

    def cell(self, model: str, candidate: Candidate) -> Row:
        """The row of a candidate on a model: what is on record, or else an evaluation."""
        key = self.key(model, json.dumps(candidate.bundle.table.to_json()))
        return self.done.get(key) or self.measured(key, model, candidate)

    def classical(self, model: str, nfe: int) -> Row:
        """The row of the best classical solver, screened by rmse unless it is on record."""
        scale = self.settings.guidance
        key = self.key(model, f"{nfe} {BASELINES!r}")
        if key in self.done:
            return self.done[key]
        found = screened(guide(self.models[model], scale), nfe, BASELINES)
        kind, name, grid, table = next(one for one in found if one[0] == "classical")
        candidate = Candidate(kind, kind, grid, named_bundle(name, table, scale))
        return self.measured(key, model, candidate)

    def measured(self, key: str, model: str, candidate: Candidate) -> Row:
        """Evaluate a candidate on a model and write its row down."""
        own, bundle = self.settings, candidate.bundle
        found = evaluate(bundle, self.models[model], samples=own.samples, seeds=own.seeds)
        fid, rmse = found.metrics["fid"], found.metrics["rmse"]
        row = Row(
            key=key,
            status="done",
            model=model,
            nfe=bundle.table.nfe,
            kind=candidate.kind,
            searched=candidate.kind == "searched",
            solver=bundle.name,
            guidance=own.guidance,
            grid=candidate.grid,
            fid=fid.mean,
            fid_spread=fid.spread,
            fid_values=list(fid.values),
            features=str(found.features),
            samples=own.samples,
            rmse=rmse.mean,
            params={SOURCE: candidate.source},
        )
        append_row(self.folder / ROWS_FILE, row)
        self.done[key] = row
        return row

    def record(self, rows: list[Row]) -> None:
        """Draw the heat maps and hand rows and pictures to the tracker."""
        identity = json.loads((self.folder / MANIFEST).read_text())["id"]
        pictures = [self.folder / f"transfer-{metric}.png" for metric in METRICS]
        for metric, path in zip(METRICS, pictures, strict=True):
            plot_transfer(rows, metric, path)
        recorder = SweepRecorder(
            self.settings.name,
            swept=(SOURCE, "model", "nfe"),
            features="each model's own",
            constants={IDENTITY: identity, "guidance": self.settings.guidance},
            resume=True,
        )
        for row in rows:
            if (row.key, False) not in recorder.recorded:
                params = {SOURCE: row.params[SOURCE], "model": row.model, "nfe": row.nfe}
                source = short(str(row.params[SOURCE]))
                recorder.begin(row.key, params, f"{row.solver} of {source} on {short(row.model)}")
                recorder.finish(row)
        recorder.close(rows, files=[self.folder / ROWS_FILE, *pictures])


def fitted(bundle: Bundle, model: VelocityModel, scale: float) -> Bundle:
    """``bundle`` with its knots mapped onto the model's time range, at guidance ``scale``."""
    return fitted_to(model, bundle).model_copy(update={"guidance": scale})


def digest(text: str) -> str:
    """Sixteen hex digits that stand for ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
