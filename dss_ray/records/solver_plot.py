"""Pictures of one search: the times and weights that it found, and how its loss fell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dss_ray.records.drawing import BLUE, GREY, VERMILLION
from dss_ray.records.raster import Panel, Sheet, ticks
from dss_ray.solver.sampling import differences
from dss_ray.solver.table import SolverTable

Array = NDArray[np.floating[Any]]
NUMBERED = 10  # steps up to which the weights are printed into their cells
MARKED = 30  # points up to which a curve shows each
HEAT = 250.0, 400.0  # pixels: height and width of the weights


def plot_solver(table: SolverTable, path: Path, title: str = "") -> None:
    """Draw where a solver's steps lie, and what each step adds of each velocity met so far."""
    sheet = Sheet(840, 350)
    sheet.title((20, 22), title)
    draw_times(sheet, table)
    draw_weights(sheet, *step_weights(table))
    sheet.save(path)


def draw_times(sheet: Sheet, table: SolverTable) -> None:
    """The knots over the step number, and the query times where they are others."""
    knots, times = table.knots.tolist(), table.times.tolist()
    panel = Panel(sheet, (50, 74), (310, 242), x=(0, table.nfe), y=(0, 1))
    panel.rule(thinned(table.nfe + 1), (0, 0.25, 0.5, 0.75, 1))
    sheet.dots(panel.place(0, knots[0]), panel.place(table.nfe, knots[-1]), GREY)
    panel.curve(list(enumerate(knots)), VERMILLION, marks=table.nfe <= MARKED)
    sheet.text((20, 52), "time after each step (0 noise, 1 data)", "lm")
    sheet.dots((58, 84), (76, 84), GREY)
    sheet.text((84, 84), "uniform", "lm", size=11)
    if not np.allclose(times, knots[:-1]):
        for step, time in enumerate(times):
            sheet.cross(panel.place(step, time), 4, BLUE)
        sheet.cross((67, 101), 4, BLUE)
        sheet.text((84, 101), "queried at", "lm", size=11)


def step_weights(table: SolverTable) -> tuple[Array, list[str]]:
    """What each step adds of each velocity, in units of a uniform Euler step, and the heads.

    A first column holds the weights of the start state where they are not all zero. Above the
    diagonal is NaN.
    """
    start, weights = (part.detach().numpy() for part in differences(table))
    unit = float(table.knots[-1] - table.knots[0]) / table.nfe or 1.0
    lower = np.where(np.tri(table.nfe, dtype=bool), weights, np.nan) / unit
    heads = [f"v{number + 1}" for number in range(table.nfe)]
    if np.allclose(start, 0, atol=1e-9):
        return lower, heads
    return np.column_stack([start / unit, lower]), ["start", *heads]


def draw_weights(sheet: Sheet, weights: Array, heads: Sequence[str]) -> None:
    """A heat map around zero, with numbers where they have room."""
    left, top = 425.0, 74.0
    tall, wide = HEAT[0] / len(weights), HEAT[1] / len(heads)
    limit = float(np.nanmax(np.abs(weights))) or 1.0
    sheet.text((left - 35, 52), "weight of each velocity in a step (1: a uniform Euler step)", "lm")
    for (row, column), weight in np.ndenumerate(weights):
        if math.isnan(weight):
            continue
        color = shade(float(weight) / limit)
        corner = left + column * wide, top + row * tall
        sheet.box(corner, (wide, tall), color)
        if weight and len(weights) <= NUMBERED:
            text = f"{weight:.2f}".replace("-", "\N{MINUS SIGN}")
            middle = corner[0] + wide / 2, corner[1] + tall / 2
            sheet.text(middle, text, size=11, color=readable(color))
    for row in thinned(len(weights)):
        sheet.text((left - 8, top + (row + 0.5) * tall), f"{row + 1}", "rm")
    for column in thinned(len(heads)):
        sheet.text((left + (column + 0.5) * wide, top + HEAT[0] + 6), heads[column], "mt")
    if len(weights) > NUMBERED:
        draw_scale(sheet, limit)


def draw_scale(sheet: Sheet, limit: float) -> None:
    """Which colour stands for which weight."""
    for number in range(81):
        sheet.box((715 + number, 92), (2, 12), shade(number / 40 - 1))
    for place, value in ((715, -limit), (755, 0.0), (795, limit)):
        sheet.text((place, 110), f"{value:.2g}".replace("-", "\N{MINUS SIGN}"), "mt", size=11)


def shade(share: float) -> str:
    """White at 0, the palette's blue at -1 and its vermillion at 1."""
    end = VERMILLION if share > 0 else BLUE
    parts = (int(end[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(255 + abs(share) * (part - 255)):02x}" for part in parts)


def readable(color: str) -> str:
    """Black or white, whichever stands out more from a colour of ``shade``."""
    red, green, blue = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    return "black" if luminance > 0.18 else "white"


def thinned(count: int) -> list[int]:
    """The numbers below ``count`` that label its ticks: all, or every fifth where they are many."""
    return list(range(0, count, 1 if count <= NUMBERED + 1 else 5))


def plot_history(history: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> None:
    """Draw the loss over the iterations of each stage, in a panel of its own: units differ.

    Args:
        history: per stage its (iteration, loss) pairs.
        path: the PNG to write.
    """
    sheet = Sheet(max(len(history), 1) * 360 + 60, 300)
    for number, (stage, points) in enumerate(history.items()):
        left = 90 + 360 * number
        sheet.title((left - 60, 22), stage)
        sheet.text((left - 60, 44), "loss over iterations", "lm")
        finite = [(step, loss) for step, loss in points if math.isfinite(loss)]
        if finite:
            draw_losses(sheet, left, finite)
    sheet.save(path)


def draw_losses(sheet: Sheet, left: float, points: Sequence[tuple[int, float]]) -> None:
    """The losses of one stage; a log axis where positive ones span more than a factor 3."""
    steps, losses = zip(*points, strict=True)
    low, high = min(losses), max(losses)
    log = low > 0 and 3 * low < high
    gap = (high / low) ** 0.05 if log else (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    y = (low / gap, high * gap) if log else (low - gap, high + gap)
    x = (steps[0], max(steps[-1], steps[0] + 1))
    panel = Panel(sheet, (left, 66), (290, 200), x=x, y=y, log=log)
    whole = [tick for tick in ticks(*x) if tick == int(tick)]
    panel.rule(whole, ticks(*y, log=log))
    panel.curve(points, VERMILLION, marks=len(points) <= MARKED)
