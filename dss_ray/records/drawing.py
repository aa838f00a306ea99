"""What all pictures share: colours and marks that everyone can tell apart, figures, axes.

The colours are those of Okabe and Ito's palette that are the easiest to tell apart with any kind
of colour vision: vermillion, blue and black; on dark vermillion, sky blue and white. Each kind of
solver has its own mark and line as well. All stand out from their background by 3 to 1 or more.
Pictures are opaque, so that they are right on any page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # matplotlib is slow to import, and most commands draw nothing
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERMILLION, BLUE, SKY = "#D55E00", "#0072B2", "#56B4E9"
INK, CHALK, GREY, PALE = "#333333", "#DDDDDD", "#767676", "#C4C4C4"
WIDTH = 8.3  # inches: the width of a README at 100 dots an inch
SHARP = 200  # dots an inch of pictures that are drawn once a sweep: twice those of a README


@dataclass(frozen=True)
class Look:
    """How a kind of solver is drawn: colours on white and on dark, marker, line.

    Marker and line are named as matplotlib does.
    """

    color: str
    on_dark: str
    marker: str
    line: str


LOOKS = {
    "searched": Look(VERMILLION, VERMILLION, "o", "-"),
    "classical": Look(BLUE, SKY, "s", "--"),
    "published": Look(INK, CHALK, "D", ":"),
}


def new_figure(width: float, height: float, dpi: int = 100) -> Figure:
    """A figure of that size in inches, drawn by Agg.

    Figures are made as objects, never through pyplot: its global state grows in a long sweep and is
    not safe between threads.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi)


def panels(
    count: int, height: float, columns: int = 2, left: float = 0.8
) -> tuple[Figure, list[Axes]]:
    """A figure as wide as a README: ``count`` plots, ``height`` inches high, in few columns.

    The margins, ``left`` inches for labels, are fixed: to fit them would be to draw twice.
    """
    wide = min(columns, count) or 1
    lines = -(-count // wide) or 1
    figure = new_figure(WIDTH, height * lines, SHARP)
    across, up = WIDTH / wide, height
    axes = [
        figure.add_axes(
            (
                (across * (number % wide) + left) / WIDTH,
                (up * (lines - 1 - number // wide) + 0.55) / (height * lines),
                (across - left - 0.15) / WIDTH,
                (up - 0.9) / (height * lines),
            )
        )
        for number in range(count)
    ]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.set_axisbelow(True)
    return figure, axes


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
