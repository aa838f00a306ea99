"""Picture of the benchmark of search costs: rmse against network evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from search_cost_cells import NFES
from search_cost_rows import Table, total

# Okabe and Ito's colours, which differ to the colour-blind; markers tell them apart in grey.
MARKERS = {
    "least-squares": ("#009E73", "o", "least squares"),
    "default": ("#D55E00", "*", "default: least squares + Gauss-Newton"),
    "velocity": ("#E69F00", "D", "the default, rows summing to one"),
    "whole": ("#CC79A7", "P", "the default, whole space"),
    "features": ("#56B4E9", "v", "the default, aiming at features"),
    "frechet": ("#999933", "^", "the default, then the Frechet distance"),
    "gradient": ("#0072B2", "s", "least squares + gradient"),
    "paper": ("#000000", "X", "the paper's recipe"),
}
LINES = {
    "classical": ("#777777", "--", "best classical solver"),
    "flow-sit": ("#777777", ":", "published table (SiT)"),
    "flow-dcn": ("#777777", "-.", "published table (FlowDCN)"),
    "vp-dit": ("#777777", ":", "published table (DiT)"),
}


def draw(table: Table, model: str, guidance: float, path: Path) -> None:
    """One panel per number of queries, every search seed a marker; written to ``path``."""
    figure = Figure(figsize=(10, 7.6), layout="constrained")
    known = dict[str, Any]()
    for axes, nfe in zip(figure.subplots(2, 2, sharex=True).flat, NFES, strict=True):
        for method, (colour, marker, label) in MARKERS.items():
            rows = table.rows(model, guidance, nfe, method)
            cost = [total("evaluations", "reference_evaluations")([row]) for row in rows]
            size = 190 if marker == "*" else 70
            known[label] = axes.scatter(
                cost, [float(row["rmse"]) for row in rows], size, colour,
                marker=marker, edgecolors="white", linewidths=0.6, zorder=3,
            ) if rows else known.get(label)  # fmt: skip
        for method, (colour, style, label) in LINES.items():
            for row in table.rows(model, guidance, nfe, method):
                known[label] = axes.axhline(float(row["rmse"]), color=colour, linestyle=style)
        axes.set(xscale="log", yscale="log")
        axes.set_title(f"{nfe} steps", fontsize=13)
        axes.grid(alpha=0.3, which="both", linewidth=0.5)
        axes.tick_params(labelsize=11, which="both")
    figure.supxlabel("network evaluations of the search, its teacher's included", fontsize=13)
    figure.supylabel("rmse to the teacher, held out", fontsize=13)
    shown = {label: drawn for label, drawn in known.items() if drawn is not None}
    figure.legend(
        list(shown.values()), list(shown), loc="outside upper center", ncols=3, fontsize=11
    )
    figure.suptitle(f"{model}, guidance {guidance:g}", fontsize=14)
    figure.savefig(path, dpi=110)
