"""What a registered solver says of itself: its name, its tags and what it was measured on."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from dss_ray.bundle import Bundle
from dss_ray.models.spec import short
from dss_ray.records.comparison import Measurement
from dss_ray.records.leaderboard import Entry, figure
from dss_ray.records.run_fields import FIGURES, distance_metric

SOLVER = "dss.solver"  # tag: digest of the numbers that make a solver


def registered_name(model: str, nfe: int) -> str:
    """What the solvers of ``nfe`` queries for ``model`` are registered as."""
    return re.sub(r"[^\w-]+", "-", f"dss-{short(model)}-{nfe}")


def champions(board: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    """The searched solvers that are better than the best classical one, each with that one."""
    classical = {place(entry): entry for entry in board if entry["kind"] == "classical"}
    won = [entry for entry in board if entry["searched"] and entry["verdict"] == "better"]
    return [(entry, classical[place(entry)]) for entry in won]


def place(entry: Entry) -> tuple[str, str, int]:
    """Where solvers compete."""
    return entry["model"], entry["features"], entry["nfe"]


def digest(bundle: Bundle) -> str:
    """Hash of the table and its guidance: trials that find the same numbers find one solver."""
    numbers = json.dumps([bundle.table.to_json(), bundle.guidance], sort_keys=True)
    return hashlib.sha256(numbers.encode()).hexdigest()[:16]


def version_tags(entry: Entry, rival: Entry, sweep: str, solver: str) -> dict[str, str]:
    """What tells versions apart.

    Args:
        entry: of the solver.
        rival: of the best classical one.
        sweep: that found it.
        solver: its digest.
    """
    change, error = entry["fid_change"], entry["fid_change_error"]
    return {
        "sweep": sweep,
        "trial": str(entry["trial"]),
        "method": str(entry["method"]),
        "grid": str(entry["grid"]),
        "guidance": f"{entry['guidance']:g}",
        distance_metric(entry["features"]): f"{entry['fid']:.4f} ± {entry['fid_spread']:.4f}",
        "rmse": figure(entry["rmse"], ".4f"),
        "verdict": f"{entry['verdict']} than {rival['solver']} ({change:+.4f} ± {error:.4f})",
        "dss.key": entry["key"],
        SOLVER: solver,
    }


def version_figures(entry: Entry) -> dict[str, float]:
    """The figures that a logged model shows, by metric name."""
    fresh = f"{distance_metric(entry['features'])}_fresh"
    found = {fresh: entry["fid"], f"{fresh}_spread": entry["fid_spread"]}
    found |= {name: entry[name] for name in FIGURES}
    return {name: float(value) for name, value in found.items() if value is not None}


def measured(entry: Entry) -> dict[str, str]:
    """What the distance was measured on, as the parameters of a logged model."""
    return {name: json.dumps(value) for name, value in asdict(Measurement.of(entry)).items()}


def measurement(params: Mapping[str, str]) -> Measurement:
    """What ``measured`` wrote."""
    found: dict[str, Any] = {f.name: json.loads(params[f.name]) for f in fields(Measurement)}
    return Measurement(**found | {name: tuple(found[name]) for name in ("seeds", "values")})
