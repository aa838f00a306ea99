"""How a row looks as a run of the tracker: its name, figures and curves."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dss_ray.models.spec import short
from dss_ray.records.rows import Param, Row

NAMED = ("nfe", "method", "grid", "guidance", "model")  # swept values that a run's name shows
FIGURES = ("rmse", "evaluations", "seconds")
COSTS = (
    "reference_seconds",
    "reference_evaluations",
    "sampling_evaluations",
    "network_seconds",
    "worker_seconds",
)
LONGEST = 150  # characters of a model in a metric's name; stores refuse names of more than 250
LOSSES = 500  # at most so many per run; a batch takes 1000 metrics
History = Mapping[str, Sequence[tuple[int, float]]]


def run_name(trial: int | None, params: Mapping[str, Param]) -> str:
    """A short name, the telling values first: lists cut it off, as in "#012 nfe=5 gradient"."""
    parts = [] if trial is None else [f"#{trial:03d}"]
    for name in NAMED:
        value = params.get(name)
        if value is not None:
            parts.append(value if isinstance(value, str) else f"{name}={value:g}")
    return " ".join(parts)


def row_name(row: Row) -> str:
    """The name of a row's run; of a solver that was not searched, "ab2 power:1:1.4 nfe=5"."""
    if row.searched:
        return run_name(row.trial, row.params)
    grid = [row.grid] if row.grid else []
    return " ".join([row.solver, *grid, f"nfe={row.nfe}", f"guidance={row.guidance:g}"])


def distance_metric(features: str) -> str:
    """The metric's name of a distance: "fid" for Inception's features, else "fid_digits_cnn"."""
    return "fid" if features.startswith("inception") else re.sub(r"\W+", "_", f"fid_{features}")


def figures(row: Row) -> dict[str, float]:
    """The figures that the row has, by metric name.

    The distance on the selection seeds is in every run; a finalist's on fresh seeds stands beside
    it, so that no column mixes the two.
    """
    fid = distance_metric(row.features)
    values = {fid: row.selection_fid if row.final else row.fid}
    if row.final:
        values |= {f"{fid}_fresh": row.fid, f"{fid}_fresh_spread": row.fid_spread}
    values |= {name: getattr(row, name) for name in FIGURES + COSTS}
    if row.fid is not None:
        values["fid_samples"] = row.samples
    return {name: value for name, value in values.items() if value is not None}


def distances(row: Row) -> list[tuple[str, float, int]]:
    """The selection distance as a curve over the number of samples: (metric, distance, samples)."""
    name = f"{distance_metric(row.features)}_by_samples"
    return [(name, distance, count) for count, distance in sorted(row.fid_by_samples.items())]


def losses(history: History) -> list[tuple[int, float]]:
    """The finite losses of all stages as (step, loss), one stage after the other, evenly thinned.

    Every run has the one curve, whatever its methods, in the units of each stage's objective.
    """
    points, offset = list[tuple[int, float]](), 0
    for stage in history.values():
        points += [(offset + step, loss) for step, loss in stage if math.isfinite(loss)]
        offset += stage[-1][0] + 1 if stage else 0
    stride = math.ceil(len(points) / LOSSES) or 1
    return points[::-stride][::-1]  # from the end, so that the last loss is kept


def front_points(board: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, int]]:
    """The leaderboard as curves over NFE: (metric, distance, NFE) per model and kind."""
    return [
        (f"best_{distance_metric(e['features'])}/{name}/{e['kind']}", e["fid"], e["nfe"])
        for name, e in zip(model_names(board), board, strict=True)
        if e["fid"] is not None
    ]


def model_names(board: Sequence[Mapping[str, Any]]) -> list[str]:
    """The models of the entries as parts of a metric's name, which takes few other characters."""
    models = {entry["model"] for entry in board}
    plain = len(set(map(short, models))) == len(models)  # or else their files tell them apart
    return [
        re.sub(r"[^\w.-]+", "_", short(e["model"]) if plain else e["model"])[-LONGEST:]
        for e in board
    ]
