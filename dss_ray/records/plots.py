"""Pictures of a sweep: its front, the errors of its best solvers, what its figures depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dss_ray.models.spec import short
from dss_ray.records.drawing import GREY, INK, LOOKS, PALE, panels, spread_out
from dss_ray.records.leaderboard import best_of_each, or_worst
from dss_ray.records.rows import Row, distance_name

if TYPE_CHECKING:  # matplotlib is slow to import, and most commands draw nothing
    from matplotlib.axes import Axes

    from dss_ray.records.closeups import Closeup


def plot_front(rows: Sequence[Row], path: Path, title: str = "") -> None:
    """Draw the distance against NFE, one panel per model and extractor, and save it at ``path``.

    A point with a bar is the best of its kind at that NFE, on fresh seeds where it has them; the
    bar is the standard deviation over the seeds. Faint dots are the other trials, where they were
    evaluated on as many samples.
    """
    done = [row for row in rows if row.status == "done" and row.fid is not None]
    fronts = sorted({(row.model, row.features) for row in done})
    figure, plots = panels(len(fronts), 4.2)
    for axes, (model, features) in zip(plots, fronts, strict=True):
        draw_front(axes, [row for row in done if (row.model, row.features) == (model, features)])
        axes.set_title(" ".join(filter(None, [title, short(model)])), loc="left")
        axes.set_ylabel(distance_name(features))
    figure.savefig(path)


def draw_front(axes: Axes, rows: Sequence[Row]) -> None:
    """The rows of one model and extractor."""
    best = best_of_each(rows)
    counts = {row.samples for row in best}  # a distance falls with the count: only equal ones
    trials = [
        (row.nfe, row.fid) for row in rows if row.kind == "searched" and {row.samples} == counts
    ]
    axes.plot(*zip(*trials, strict=True) if trials else ((), ()), ".", color=PALE, zorder=1)
    for kind, look in LOOKS.items():
        chosen = [row for row in best if row.kind == kind]
        if chosen:
            axes.errorbar(
                [row.nfe for row in chosen],
                [or_worst(row.fid) for row in chosen],
                [row.fid_spread or 0 for row in chosen],
                marker=look.marker,
                linestyle=look.line,
                color=look.color,
                capsize=3,
                label=kind,
            )
    spread_out(axes, [row.fid for row in best if row.fid is not None])
    axes.set(xlabel="NFE", xticks=sorted({row.nfe for row in rows}))
    axes.legend(frameon=False)


def plot_errors(closeups: Sequence[Closeup], path: Path) -> None:
    """Draw the error of the best solvers on their way to the data, a panel per model and NFE."""
    places = sorted({(one.model, one.nfe) for one in closeups})
    figure, plots = panels(len(places), 2.8, columns=3, left=0.87)
    for axes, (model, nfe) in zip(plots, places, strict=True):
        chosen = [one for one in closeups if (one.model, one.nfe) == (model, nfe)]
        for one in chosen:
            look, points = LOOKS[one.kind], (one.knots[1:], one.errors[1:])
            line, color = look.line, look.color
            axes.plot(*points, marker=look.marker, ls=line, color=color, label=one.kind)
        spread_out(axes, [error for one in chosen for error in one.errors[1:]])
        axes.set(xlabel="time (0 noise, 1 data)", xlim=(0, 1.03), xticks=(0, 0.5, 1))
        axes.set_title(f"{short(model)}, {nfe} steps", loc="left", fontsize=10)
    for axes in plots[::3]:
        axes.set_ylabel("rmse to the teacher")
    for axes in sorted(plots, key=lambda axes: len(axes.lines))[-1:]:  # one names all there are
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)


def plot_importances(found: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Draw the share of each dimension in the differences of each figure, as bars.

    Args:
        found: the shares by dimension, by figure.
        path: the PNG to write.
    """
    names = list(dict.fromkeys(name for shares in found.values() for name in shares))[::-1]
    figure, (axes,) = panels(1, 1.2 + 0.45 * max(len(names), 2), left=1.4)
    thickness = 0.8 / max(len(found), 1)
    for number, (label, shares) in enumerate(found.items()):
        places = [place - number * thickness for place in range(len(names))]
        bars = axes.barh(
            places,
            [shares.get(name, 0.0) for name in names],
            height=thickness,
            label=label,
            color=(INK, GREY)[number % 2],
            hatch=("", "//", "..", "xx")[number % 4],
            edgecolor="white",
        )
        axes.bar_label(bars, fmt="{:.0%}", padding=3, fontsize=9)
    axes.set_yticks([place - 0.5 * thickness * (len(found) - 1) for place in range(len(names))])
    axes.set_yticklabels(names)
    axes.set(xlim=(0, 1.1), xticks=[])
    axes.set_xlabel("share of the differences at equal NFE")
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path)
