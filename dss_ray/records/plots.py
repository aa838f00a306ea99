"""Pictures of solvers, searches, fronts and samples, each well under a third of a second.

Figures are made as objects, never through pyplot: its global state grows in a long sweep and is
not safe between threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.models.spec import short
from dss_ray.records.leaderboard import best_of_each
from dss_ray.records.rows import Row, distance_name
from dss_ray.solver.sampling import differences
from dss_ray.solver.table import SolverTable

if TYPE_CHECKING:  # matplotlib is slow to import, and most commands draw nothing
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.floating[Any]]
DPI = 100
ANNOTATED = 10  # steps up to which the weights are printed into their cells
CELL = 56  # pixels that one sample fills at least
INK = {"searched": "#c0392b", "classical": "#2c6fbb", "published": "#5a8f29"}


def new_figure(width: float, height: float) -> Figure:
    """A figure of that size in inches, drawn by Agg."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI)


def plot_solver(table: SolverTable, path: Path, title: str = "") -> None:
    """Draw where a solver's steps lie, and what each step adds of each velocity met so far."""
    figure = new_figure(8.4, 3.6)
    draw_times(figure.add_axes((0.075, 0.15, 0.36, 0.72)), table)
    weights = differences(table)[1].detach().numpy()
    draw_weights(figure, figure.add_axes((0.52, 0.15, 0.4, 0.72)), weights)
    figure.suptitle(title, fontsize=10, y=0.99)
    figure.savefig(path)


def draw_times(axes: Axes, table: SolverTable) -> None:
    """The knots over the step number, and the query times where they are others."""
    knots, times = table.knots.detach().numpy(), table.times.detach().numpy()
    steps = np.arange(table.nfe + 1)
    axes.plot(steps[[0, -1]], knots[[0, -1]], color="0.7", linestyle=":", label="uniform")
    axes.plot(steps, knots, "o-", color=INK["searched"], markersize=4, label="knots")
    if not np.allclose(times, knots[:-1]):
        axes.plot(steps[:-1], times, "kx", label="query times")
    axes.set(xlabel="step", ylabel="time (0 noise, 1 data)", xticks=thinned(len(steps)))
    axes.set_title("times", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def draw_weights(figure: Figure, axes: Axes, weights: Array) -> None:
    """The lower triangle as a heat map around zero, with numbers where they have room."""
    limit = float(np.abs(weights).max()) or 1.0
    lower = np.where(np.tri(len(weights), dtype=bool), weights, np.nan)  # NaN stays blank
    image = axes.imshow(lower, cmap="RdBu_r", vmin=-limit, vmax=limit)
    count = len(weights)
    axes.set(
        xlabel="velocity of query", ylabel="step", xticks=thinned(count), yticks=thinned(count)
    )
    axes.set_title("weights of each step", fontsize=10)
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    for (row, column), weight in np.ndenumerate(weights if count <= ANNOTATED else weights[:0]):
        if weight != 0:
            text = f"{weight:.2f}".replace("-0.", "-.").removeprefix("0")
            color = "white" if abs(weight) > 0.6 * limit else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)


def thinned(count: int) -> list[int]:
    """The numbers below ``count`` that label its ticks: all, or every fifth where they are many."""
    return list(range(0, count, 1 if count <= ANNOTATED + 1 else 5))


def plot_history(history: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> None:
    """Draw the loss over the iterations of each stage, in a panel of its own: units differ.

    Args:
        history: per stage its (iteration, loss) pairs.
        path: the PNG to write.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(1 + 3.6 * len(history), 3)
    for number, (stage, points) in enumerate(history.items(), start=1):
        axes = figure.add_subplot(1, len(history), number)
        steps, losses = zip(*points, strict=True) if points else ((), ())
        axes.plot(steps, losses, ".-" if len(points) < 30 else "-", color=INK["searched"])
        axes.set_title(stage, fontsize=10)
        axes.set(xlabel="iteration", ylabel="loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        spread_out(axes, losses)
    left = 0.85 / figure.get_figwidth()
    figure.subplots_adjust(left=left, right=0.98, bottom=0.17, wspace=0.4)
    figure.savefig(path)


def plot_front(rows: Sequence[Row], path: Path, title: str = "") -> None:
    """Draw the distance against NFE, one panel per model and extractor, and save it at ``path``.

    A point with a bar is the best of its kind at that NFE, on fresh seeds where it has them; the
    bar is the standard deviation over the seeds. Faint dots are the other trials, where they were
    evaluated on as many samples.
    """
    done = [row for row in rows if row.status == "done" and row.fid is not None]
    panels = sorted({(row.model, row.features) for row in done})
    figure = new_figure(max(1, len(panels)) * 5.4 + 0.4, 4)
    for number, (model, features) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        draw_front(axes, [row for row in done if (row.model, row.features) == (model, features)])
        axes.set_title(" ".join(filter(None, [title, short(model)])), fontsize=10)
        axes.set_ylabel(distance_name(features))
    width = figure.get_figwidth()
    figure.subplots_adjust(left=0.75 / width, right=1 - 0.15 / width, bottom=0.13, top=0.92)
    figure.savefig(path)


def draw_front(axes: Axes, rows: Sequence[Row]) -> None:
    """The rows of one model and extractor."""
    best = best_of_each(rows)
    counts = {row.samples for row in best}  # a distance falls with the count: only equal ones
    trials = [
        (row.nfe, row.fid) for row in rows if row.kind == "searched" and {row.samples} == counts
    ]
    axes.plot(*zip(*trials, strict=True) if trials else ((), ()), ".", color="0.75", zorder=1)
    for kind, color in INK.items():
        chosen = [row for row in best if row.kind == kind]
        if chosen:
            nfe, fid, spread = zip(
                *((r.nfe, r.fid, r.fid_spread or 0) for r in chosen), strict=True
            )
            axes.errorbar(
                nfe, fid, spread, marker="o", markersize=4, capsize=3, color=color, label=kind
            )
    spread_out(axes, [row.fid for row in best if row.fid is not None])
    axes.set(xlabel="NFE", xticks=sorted({row.nfe for row in rows}))
    axes.legend(frameon=False)


def spread_out(axes: Axes, values: Sequence[float]) -> None:
    """A grid, and a log axis with plain numbers where positive values span more than a factor 3."""
    axes.grid(alpha=0.3)
    if not values or min(values) <= 0 or max(values) <= 3 * min(values):
        return
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axes.set_yscale("log")
    subs = (1, 2, 5) if max(values) < 1000 * min(values) else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def plot_samples(images: Tensor, path: Path, columns: int, row_labels: Sequence[str] = ()) -> None:
    """Save images (n, C, H, W) in [0, 1] as a grid of ``columns``, each row named at its left.

    Raises:
        UsageError: if the images do not fill whole rows or the labels do not name each of them.
    """
    count, channels, height, width = images.shape
    rows = count // columns
    if rows * columns != count or len(row_labels) not in (0, rows) or channels not in (1, 3):
        raise UsageError(
            f"sample grid: expected rows of {columns} grey or colour images with one label each, "
            f"got {count} images of {channels} channels and {len(row_labels)} labels"
        )
    zoom = -(-CELL // height)
    pixels = images.detach().float().cpu().clamp(0, 1).permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    cells = pixels.repeat_interleave(zoom, 1).repeat_interleave(zoom, 2).numpy()
    cells = np.pad(cells, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)
    tall, wide = height * zoom + 2, width * zoom + 2
    canvas = cells.reshape(rows, columns, tall, wide, 3).swapaxes(1, 2)
    save_canvas(canvas.reshape(rows * tall, columns * wide, 3), tall, path, row_labels)


def save_canvas(canvas: Array, tall: int, path: Path, row_labels: Sequence[str]) -> None:
    """The picture pixel by pixel beside a margin with the labels of its rows of ``tall`` pixels."""
    height, width = canvas.shape[:2]
    margin = 8 + 8 * max(map(len, row_labels), default=-1)
    figure = new_figure((width + margin) / DPI, height / DPI)
    figure.figimage(canvas, xo=margin, yo=0, origin="upper")
    right = (margin - 6) / (width + margin)
    for number, label in enumerate(row_labels):
        middle = 1 - (number + 0.5) * tall / height
        figure.text(right, middle, label, ha="right", va="center", fontsize=9)
    figure.savefig(path)
