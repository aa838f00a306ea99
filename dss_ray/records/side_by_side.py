"""Sweeps or solvers side by side: what of their settings differs, and which is better."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dss_ray.models.spec import short
from dss_ray.records.comparison import INCOMPARABLE, Comparison, Measurement, compare
from dss_ray.records.cost import cost
from dss_ray.records.leaderboard import COLORS, Entry, cells, front_name, leaderboard_rows
from dss_ray.records.rows import Row, distance_name

ABSENT = "-"
COUNTED = "trials", "failed", "stopped", "search_evaluations", "sampling_evaluations"
CAPTION = (
    "FID with ?: selection seeds only; evals: network evaluations of the search; "
    "differences: of means over the same seeds, ± standard error"
)


def differing(settings: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The settings that are not the same for all: ``setting``, a path with dots, and ``values``.

    Args:
        settings: nested, by sweep or solver. What one lacks is "-", and no difference where it
            lacks the whole section, as a solver that was not searched does.
    """
    flat, found = {name: dict(leaves(nested)) for name, nested in settings.items()}, []
    for key in dict.fromkeys(key for one in flat.values() for key in one):
        values = {name: one.get(key, ABSENT) for name, one in flat.items()}
        own = [values[name] for name in flat if key.partition(".")[0] in settings[name]]
        if len(set(map(json.dumps, own))) > 1:
            found.append({"setting": key, "values": values})
    return found


def leaves(nested: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """What is not nested further, with its path."""
    for key, value in nested.items():
        way = f"{place}.{key}" if place else str(key)
        if isinstance(value, Mapping):
            yield from leaves(value, way)
        else:
            yield way, value


def best_solvers(sweeps: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """The best searched solvers of all sweeps by NFE, JSON-ready.

    A dict is a row of the leaderboard, ``sweep``, and ``against``: how it stands against the first
    sweep's solver, as a ``Comparison`` with the ``name`` of that sweep; None for those themselves.
    """
    boards = {
        name: [entry for entry in leaderboard_rows(rows) if entry["searched"]]
        for name, rows in sweeps.items()
    }
    first, rivals = next(iter(boards.items()))
    found = list[dict[str, Any]]()
    for nfe in sorted({entry["nfe"] for board in boards.values() for entry in board}):
        for name, board in boards.items():
            for entry in (entry for entry in board if entry["nfe"] == nfe):
                outcome = None if name == first else against(entry, rivals)
                found.append(entry | {"sweep": name, "against": told(outcome, first)})
    return found


def total(rows: Sequence[Row], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a sweep came to: its trials, how many failed, and what they cost (``cost``)."""
    resources = settings.get("resources", {})
    ended = [row.status for row in rows if row.searched]
    spent = cost(rows, resources.get("cpus", 1), resources.get("gpus", 0.0))
    return {"trials": len(ended), "failed": ended.count("failed")} | spent


def against(entry: Entry, rivals: Sequence[Entry]) -> Comparison:
    """How a solver stands against the one of ``rivals`` with as many queries, of its model first.

    Args:
        entry: of the solver.
        rivals: the best solvers of another sweep.
    """
    alike = [rival for rival in rivals if rival["nfe"] == entry["nfe"]]
    same = [rival for rival in alike if short(rival["model"]) == short(entry["model"])]
    if not alike:
        return Comparison(INCOMPARABLE, reason=f"no solver of {entry['nfe']} queries there")
    return compare(Measurement.of(entry), Measurement.of((same or alike)[0]))


def told(outcome: Comparison | None, name: str) -> dict[str, Any] | None:
    """A comparison with ``name``, JSON-ready."""
    return vars(outcome) | {"name": name} if outcome else None


def render_settings(rows: Sequence[Mapping[str, Any]]) -> Table | str:
    """What ``differing`` found, a column for each sweep or solver."""
    if not rows:
        return "no setting differs"
    table = Table("setting", *rows[0]["values"], box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        values = (v if isinstance(v, str) else json.dumps(v) for v in row["values"].values())
        table.add_row(*map(Text, [row["setting"], *values]))
    return table


def render_solvers(rows: Sequence[dict[str, Any]], first: str) -> Table:
    """What ``best_solvers`` found, a section for each NFE."""
    fronts = {(row["model"], row["features"]) for row in rows}
    scaled, mixed = len({row["guidance"] for row in rows}) > 1, len(fronts) > 1
    name = "FID" if mixed else distance_name(rows[0]["features"])
    table = Table(caption=CAPTION, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head in ["NFE", "sweep", *["model"] * mixed, "solver"]:
        table.add_column(head, overflow="fold")
    for head in (*["scale"] * scaled, name.replace("[", "\n["), "rmse", "evals"):
        table.add_column(Text(head), justify="right", no_wrap=True)
    table.add_column(Text(f"to {first}"), min_width=len("+0.0000±0.0000"))
    for _, group in groupby(rows, itemgetter("nfe")):
        for row in group:
            _, solver, _, scale, *figures = cells(row)[:7]
            names = Text(str(row["nfe"])), Text(row["sweep"]), *[Text(front_name(row))] * mixed
            last = verdict_text(row["against"])
            table.add_row(*names, solver, *[scale] * scaled, *figures, last)
        table.add_section()
    return table


def render_totals(totals: Mapping[str, Mapping[str, Any]]) -> Table:
    """What sweeps came to, a line for each."""
    heads = "sweep", "trials", "failed", "stopped early", "search evals", "sampling evals", "CPU h"
    table = Table(*heads, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name, own in totals.items():
        counts = [f"{own[key]:,}" for key in COUNTED]
        table.add_row(Text(name), *counts, f"{own['cpu_hours']:.2f}")
    return table


def verdict_text(outcome: Mapping[str, Any] | None) -> Text:
    """A comparison as people read it."""
    if outcome is None:
        return Text("-")
    if outcome["change"] is None:
        return Text(f"{outcome['verdict']}: {outcome['reason']}")
    text = f"{outcome['verdict']} {outcome['change']:+.4f}±{outcome['error']:.4f}"
    return Text(text, style=COLORS.get(outcome["verdict"], ""))
