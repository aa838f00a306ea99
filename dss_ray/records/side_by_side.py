"""Sweeps or solvers side by side: what of their settings differs, and who is better."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dss_ray.models.spec import short
from dss_ray.records.comparison import INCOMPARABLE, Comparison, Measurement, compare
from dss_ray.records.leaderboard import COLORS, cells, front_name, leaderboard_rows
from dss_ray.records.rows import Row, distance_name

ABSENT = "-"
LONGEST = 60  # characters of a setting in a table


def differing(settings: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The settings that are not the same for all, by name, as a path with dots.

    Args:
        settings: nested, by sweep or solver; what one lacks is "-".
    """
    flat = {name: dict(leaves(nested)) for name, nested in settings.items()}
    keys = dict.fromkeys(key for one in flat.values() for key in one)
    rows = [
        {"setting": key, "values": {name: one.get(key, ABSENT) for name, one in flat.items()}}
        for key in keys
    ]
    return [row for row in rows if len(set(map(json.dumps, row["values"].values()))) > 1]


def leaves(nested: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """What is not nested further, with its path."""
    for key, value in nested.items():
        way = f"{place}.{key}" if place else str(key)
        if isinstance(value, Mapping):
            yield from leaves(value, way)
        else:
            yield way, value


def best_solvers(sweeps: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """The best searched solvers of all sweeps, each compared with the first sweep's, JSON-ready.

    A dict is a row of the leaderboard and some entries: ``sweep``; ``verdict``, ``change``,
    ``error`` and ``reason`` of a ``Comparison``, the verdict being None for the first sweep's own;
    and ``to_classical``, the leaderboard's verdict.
    """
    boards = {name: board(rows) for name, rows in sweeps.items()}
    first, counts = next(iter(sweeps)), {row.nfe for rows in boards.values() for row, _ in rows}
    found = []
    for nfe in sorted(counts):
        rivals = [row for row, _ in boards[first] if row.nfe == nfe]
        for name, rows in boards.items():
            for row, entry in rows:
                if row.nfe == nfe:
                    outcome = None if name == first else against(row, rivals, first)
                    found.append(entry | {"sweep": name} | told(outcome, entry["verdict"]))
    return found


def board(rows: Sequence[Row]) -> list[tuple[Row, dict[str, Any]]]:
    """The best searched rows of a sweep with their entries of the leaderboard."""
    known = {row.identity: row for row in rows}
    entries = [entry for entry in leaderboard_rows(rows) if entry["searched"]]
    place = ("key", "model", "nfe", "guidance")
    return [(known[entry["key"], entry["model"], entry["nfe"], entry["guidance"]], entry)
            for entry in entries if place]


def against(row: Row, rivals: Sequence[Row], name: str) -> Comparison:
    """How ``row`` stands against the one of ``rivals`` that has its model, or else against any."""
    if not rivals:
        return Comparison(INCOMPARABLE, reason=f"{name} has none of {row.nfe} queries")
    same = [rival for rival in rivals if short(rival.model) == short(row.model)]
    return compare(Measurement.of(row), Measurement.of((same or list(rivals))[0]))
