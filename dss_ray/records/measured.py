"""Solvers measured on the same noises, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dss_ray.evaluation.figures import Figure, metric_name
from dss_ray.records.comparison import INCOMPARABLE, Comparison, judged
from dss_ray.records.side_by_side import told, verdict_text

if TYPE_CHECKING:  # these import torch, which takes seconds
    from dss_ray.api import Evaluated
    from dss_ray.bundle import Bundle

LOWER = ("fid", "sfid", "rmse")  # metrics that are better where they are lower


def origin(bundle: Bundle) -> dict[str, Any]:
    """What a solver is and how it was found, as settings to compare."""
    document, search = bundle.model_dump(mode="json"), bundle.search
    asked = ("grid", "start", "seed", "samples", "settings")
    found = {"nfe": bundle.table.nfe, "guidance": document["guidance"]}
    if search is None:
        return found | {"method": "none"}
    own = {name: document["search"][name] for name in asked}
    where = {"model": bundle.model, "versions": bundle.versions}
    return found | {"method": search.method, "search": own} | where


def solver_rows(
    solvers: Mapping[str, Bundle], found: Mapping[str, Evaluated]
) -> list[dict[str, Any]]:
    """A dict for each solver: ``solver``, ``nfe``, ``guidance``, ``features`` and ``metrics``.

    A metric has mean, spread and values, and ``against``: how it stands against the first
    solver's, as a ``Comparison`` with its ``name``; None for the first one itself.
    """
    first, rows = next(iter(solvers)), list[dict[str, Any]]()
    for name, bundle in solvers.items():
        row = {"solver": name, "nfe": bundle.table.nfe, "guidance": bundle.guidance}
        scales, metrics = (bundle.guidance, solvers[first].guidance), dict[str, Any]()
        for metric, figure in found[name].metrics.items():
            compared = None if name == first else outcome(
                metric, figure, found[first].metrics[metric], scales
            )  # fmt: skip
            metrics[metric] = vars(figure) | {"against": told(compared, first)}
        rows.append(row | {"features": found[name].features, "metrics": metrics})
    return rows


def outcome(metric: str, ours: Figure, theirs: Figure, scales: tuple[Any, Any]) -> Comparison:
    """Compare one metric of two solvers at their guidance scales."""
    if metric == "rmse" and scales[0] != scales[1]:  # another guidance has another solution
        return Comparison(INCOMPARABLE, reason=f"guidance {scales[0]}, not {scales[1]}")
    if len(ours.values) < 2:
        return Comparison(INCOMPARABLE, reason="a single seed")
    return judged(ours.values, theirs.values, 1 if metric in LOWER else -1)


def render_measured(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each solver; below its figures how they stand against those of the first one."""
    caption = f"below the figures: difference to {rows[0]['solver']} over the same noises ± error"
    table = Table(caption=caption, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("solver", overflow="fold")
    for head in ("NFE", "scale"):
        table.add_column(head, justify="right")
    for metric in rows[0]["metrics"]:
        table.add_column(Text(metric_name(metric, rows[0]["features"])))
    for row in rows:
        texts = [Text(row["solver"]), Text(str(row["nfe"])), Text(scale(row["guidance"]))]
        table.add_row(*texts, *map(cell, row["metrics"].values()))
    return table


def cell(figure: Mapping[str, Any]) -> Text:
    """A figure with its spread, and its verdict below."""
    spread = "" if figure["spread"] is None else f" ± {figure['spread']:.4f}"
    text = Text(f"{figure['mean']:.4f}{spread}")
    return text.append("\n").append(verdict_text(figure["against"])) if figure["against"] else text


def scale(guidance: float | tuple[float, ...]) -> str:
    """A guidance scale in a table."""
    return "per step" if isinstance(guidance, tuple) else f"{guidance:g}"
