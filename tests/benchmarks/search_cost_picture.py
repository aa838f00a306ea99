"""Picture of the benchmark of search costs: rmse against network evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator
from search_cost_cells import NFES
from search_cost_rows import Table, total

# Okabe and Ito's colours, which differ to the colour-blind; markers tell them apart in grey.
MARKERS = {
    "least-squares": ("#009E73", "o", "least squares"),
    "default": ("#D55E00", "*", "default: least squares + Gauss-Newton"),
    "velocity": ("#E69F00", "D", "the default, rows summing to one"),
    "features": ("#56B4E9", "v", "the default, aiming at features"),
    "frechet": ("#999933", "^", "the default, then the Frechet distance"),
    "gradient": ("#0072B2", "s", "least squares + gradient"),
    "gradient-velocity": ("#CC79A7", "P", "gradient, rows summing to one"),
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
    figure = Figure(figsize=(10, 8.4), layout="constrained")
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
        axes.set_title(f"{nfe} steps", fontsize=13)
        if nfe in NFES[-2:]:
            axes.set_xlabel("network evaluations, with the teacher's", fontsize=13)
        scaled(axes)
    figure.supylabel("rmse to the teacher, held out", fontsize=13)
    figure.suptitle(f"{model}, guidance {guidance:g}", fontsize=14)
    shown = {label: drawn for label, drawn in known.items() if drawn is not None}
    figure.legend(
        list(shown.values()), list(shown), loc="outside lower center", ncols=2, fontsize=12
    )
    figure.savefig(path, dpi=110)


def scaled(axes: Axes) -> None:
    """Logarithmic axes with ticks at 1, 2 and 5 times powers of ten, in plain numbers."""
    axes.set(xscale="log", yscale="log")
    axes.margins(0.08, 0.12)
    for axis, written in ((axes.xaxis, EngFormatter(sep="")), (axes.yaxis, "{x:g}")):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(written)
        axis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(LogLocator())
    axes.tick_params(labelsize=12)
    axes.grid(alpha=0.3, linewidth=0.5)
