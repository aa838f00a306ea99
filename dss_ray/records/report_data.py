"""All that a report shows, as one JSON document that the page draws from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dss_ray.bundle import Bundle, load_bundle
from dss_ray.errors import FileError
from dss_ray.models.spec import short
from dss_ray.records.closeups import Closeup
from dss_ray.records.cost import cost
from dss_ray.records.leaderboard import comparable, leaderboard_rows
from dss_ray.records.report_pictures import pictures, strip
from dss_ray.records.rows import Row, distance_name
from dss_ray.records.transfer import METRICS, SOURCE, ratios, sources
from dss_ray.solver.sampling import differences

LOSSES = 300  # points of a stage's history that are shown at most
Json = dict[str, Any]


@dataclass(frozen=True)
class Findings:
    """What a report tells beside the rows; each may be missing, and ``notes`` say why.

    Args:
        manifest: settings, versions and identity of the sweep.
        resources: CPUs and GPUs that a worker holds.
        running: whether the sweep goes on.
        importances: per model and figure the share of each dimension.
        runs: the address of each trial's run by key, of the sweep's by "".
        closeups: of the best solvers.
        notes: sentences by what they are about: settings, importances, runs, closeups.
    """

    manifest: Json = field(default_factory=dict)
    resources: tuple[int, float] = (1, 0.0)
    running: bool = False
    importances: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)
    closeups: Sequence[Closeup] = ()
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def report_document(name: str, folder: Path, rows: Sequence[Row], found: Findings) -> Json:
    """The document of a sweep.

    Args:
        name: of the sweep.
        folder: ``runs/NAME``.
        rows: all of it.
        found: what else is known.
    """
    board = leaderboard_rows(rows)
    best = {entry["key"] for entry in board}
    return {
        "name": name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "running": found.running,
        "cost": cost(rows, *found.resources),
        "fronts": [front(key, rows, board, found) for key in fronts(rows)],
        "rows": [row.model_dump(mode="json", exclude_defaults=True) for row in rows],
        "solvers": {row.key: solver(folder, row) for row in rows if row.bundle},
        "closeups": {one.key: near(one) for one in found.closeups},
        "teachers": teachers(found.closeups),
        "pictures": pictures(folder, sorted(rows, key=lambda row: row.key not in best)),
        "transfer": transfer(rows),
        "runs": dict(found.runs),
        "settings": found.manifest.get("settings", {}),
        "versions": found.manifest.get("versions", {}),
        "identity": found.manifest.get("id"),
        "notes": {about: list(notes) for about, notes in found.notes.items()},
    }


def fronts(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """The (model, extractor) pairs that have a finished row."""
    return sorted({(row.model, row.features) for row in rows if row.status == "done"})


def front(
    key: tuple[str, str], rows: Sequence[Row], board: Sequence[Json], found: Findings
) -> Json:
    """One model under one extractor: its leaderboard and what its figures depend on."""
    model, features = key
    own = [row for row in rows if (row.model, row.features, row.status) == (*key, "done")]
    entries = [entry for entry in board if (entry["model"], entry["features"]) == key]
    more = ("key", "front", "verdict", "fid_change", "fid_change_error", "classical_rmse")
    distance = distance_name(features)
    shares = found.importances.get(model, {})
    return {
        "model": model,
        "short": short(model),
        "distance": distance,
        "samples": sorted({entry["samples"] for entry in entries}),
        "board": [{name: entry[name] for name in more} for entry in entries],
        "comparable": [row.key for row in comparable(own)],
        "importances": {{"fid": distance}.get(name, name): s for name, s in shares.items()},
    }


def solver(folder: Path, row: Row) -> Json:
    """A bundle's table as the page draws it, its history and where it comes from."""
    try:
        bundle = load_bundle(folder / str(row.bundle))
    except FileError as error:
        return {"error": str(error)}
    return drawn_table(bundle) | provenance(bundle)


def drawn_table(bundle: Bundle) -> Json:
    """Knots, query times, and what each step adds of the start state and of each velocity."""
    start, weights = differences(bundle.table)
    return {
        "knots": rounded(bundle.table.knots.tolist()),
        "times": rounded(bundle.table.times.tolist()),
        "start": rounded(start.tolist()),
        "weights": [rounded(line[: n + 1]) for n, line in enumerate(weights.tolist())],
    }


def provenance(bundle: Bundle) -> Json:
    """Who made a bundle, from what, and how its loss fell."""
    about: Json = {
        "created": bundle.created.isoformat(timespec="seconds"),
        "versions": bundle.versions,
        "guidance": bundle.guidance,
    }
    if bundle.search is None:
        return about
    search = bundle.search.model_dump(mode="json", exclude={"history"})
    settings = {name: value for name, value in search.pop("settings").items() if value is not None}
    return about | {
        "model": bundle.model,
        "fingerprint": bundle.model_fingerprint,
        "search": search | {"settings": settings},
        "history": {stage: thinned(points) for stage, points in bundle.search.history.items()},
    }


def thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most ``LOSSES`` finite points, evenly chosen, the last among them."""
    finite = [(step, float(f"{loss:.5g}")) for step, loss in points if math.isfinite(loss)]
    stride = math.ceil(len(finite) / LOSSES) or 1
    return finite[::-stride][::-1]


def rounded(values: Sequence[float]) -> list[float]:
    """Six digits of each, which is more than a chart can show."""
    return [float(f"{value:.6g}") for value in values]


def near(one: Closeup) -> Json:
    """A closeup: errors and a strip of samples, with what names its teacher."""
    shown = None if one.images is None else strip(one.images)
    return {"errors": rounded(one.errors), "strip": shown, "teacher": taught(one)}


def taught(one: Closeup) -> str:
    """What solvers share that are compared with the same samples of the teacher."""
    return f"{one.model} {one.guidance}"


def teachers(closeups: Iterable[Closeup]) -> dict[str, str]:
    """The teacher's strip of samples for each model and guidance."""
    shown = {taught(one): one.teacher for one in closeups}
    return {name: strip(images) for name, images in shown.items() if images is not None}


def transfer(rows: Sequence[Row]) -> Json | None:
    """Of a transfer, what its heat maps show: solvers' figures over the best classical ones'."""
    if not rows or any(SOURCE not in row.params for row in rows):
        return None
    return {
        "sources": sources(rows),
        "models": list(dict.fromkeys(row.model for row in rows)),
        "cells": {m: [[*place, x] for place, x in ratios(rows, m).items()] for m in METRICS},
    }
