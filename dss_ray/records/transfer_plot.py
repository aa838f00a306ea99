"""The heat map of a transfer: where a solver beats the best classical one, and where it loses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dss_ray.models.spec import short
from dss_ray.records.drawing import SHARP, WIDTH, new_figure
from dss_ray.records.rows import Row
from dss_ray.records.transfer import Cells, ratios, sources

if TYPE_CHECKING:  # matplotlib is slow to import, and most commands draw nothing
    from matplotlib.axes import Axes

CROWD = 6  # models up to which two panels stand side by side
ENDS = 4.0  # the colours end at a quarter and at four times the classical figure
LABELS = {"rmse": "rmse", "fid": "FID (each model's own extractor)"}


def plot_transfer(rows: Sequence[Row], metric: str, path: Path) -> None:
    """Draw one panel per NFE: where solvers come from by row, where they are used by column.

    A cell is the figure over the best classical solver's there, blue where that is beaten (below 1,
    as its number says); a frame marks a solver at home.
    """
    models = list(dict.fromkeys(row.model for row in rows))
    rising, origins, cells = sorted({row.nfe for row in rows}), sources(rows), ratios(rows, metric)
    columns = min(2 if len(models) <= CROWD else 1, len(rising))
    lines = -(-len(rising) // columns)
    figure = new_figure(WIDTH, 1.6 + 0.33 * len(origins) * lines + 0.4 * lines, SHARP)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, nfe in zip(grid.flat, rising, strict=False):
        draw_cells(axes, cells, nfe, origins, models)
    for axes in grid.flat[len(rising) :]:
        axes.remove()
    figure.suptitle(f"{LABELS[metric]} over that of the best classical solver", fontsize=10)
    figure.supylabel("searched on", fontsize=9)
    figure.tight_layout()
    figure.savefig(path)


def draw_cells(
    axes: Axes, cells: Cells, nfe: int, origins: Sequence[str], models: Sequence[str]
) -> None:
    """The panel of one NFE."""
    values = np.array([[cells.get((nfe, o, m), np.nan) for m in models] for o in origins])
    axes.imshow(np.log(values), cmap="RdBu_r", vmin=-np.log(ENDS), vmax=np.log(ENDS), aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            strong = abs(np.log(value)) > 0.6 * np.log(ENDS)
            color = "white" if strong else "black"
            text = f"{value:.2f}" if value < 10 else f"{value:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
        if origins[row] == models[column]:
            left, top = column - 0.5, row - 0.5
            axes.plot(
                [left, left + 1, left + 1, left, left],
                [top, top, top + 1, top + 1, top],
                color="black",
                linewidth=1.5,
                clip_on=False,
            )
    axes.set_title(f"{nfe} steps", fontsize=9)
    axes.set_xticks(range(len(models)), map(short, models), rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(origins)), map(short, origins), fontsize=8)
