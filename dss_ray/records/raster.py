"""Simple charts painted straight into pixels, for the pictures that every trial of a sweep gets.

Matplotlib takes a third of a second for such a picture, most of it for its texts and ticks; a sweep
pays that from its workers' cores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dss_ray.records.drawing import INK

if TYPE_CHECKING:  # most commands draw nothing
    from PIL.ImageFont import FreeTypeFont

FINE = 2  # shapes are painted so many times as large and then averaged, which smooths their edges
RULE = "#E4E4E4"
Point = tuple[float, float]


@cache
def font(size: int, bold: bool = False) -> FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along."""
    import matplotlib
    from PIL import ImageFont

    name = f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


class Sheet:
    """An opaque white picture of ``width`` by ``height`` pixels; places are in pixels."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw

        self.image = Image.new("RGB", (width * FINE, height * FINE), "white")
        self.pen = ImageDraw.Draw(self.image)
        self.texts: list[tuple[Point, str, str, FreeTypeFont, str]] = []

    def line(self, points: Sequence[Point], color: str, width: float = 1) -> None:
        """A line through all points."""
        places = [(x * FINE, y * FINE) for x, y in points]
        self.pen.line(places, color, round(width * FINE), joint="curve")

    def dots(self, start: Point, end: Point, color: str) -> None:
        """A dotted straight line."""
        count = int(math.dist(start, end) / 5) or 1
        for u in (number / count for number in range(count + 1)):
            place = start[0] + u * (end[0] - start[0]), start[1] + u * (end[1] - start[1])
            self.disc(place, 1, color)

    def disc(self, place: Point, radius: float, color: str) -> None:
        """A round mark."""
        self.pen.circle((place[0] * FINE, place[1] * FINE), radius * FINE, color)

    def cross(self, place: Point, size: float, color: str) -> None:
        """A mark that shows what lies below it."""
        x, y = place
        for sign in (-1, 1):
            self.line([(x - size, y - sign * size), (x + size, y + sign * size)], color, 1.6)

    def box(self, corner: Point, size: Point, color: str) -> None:
        """A filled rectangle between thin white rules."""
        left, top = round(corner[0] * FINE), round(corner[1] * FINE)
        right, bottom = round((corner[0] + size[0]) * FINE), round((corner[1] + size[1]) * FINE)
        self.pen.rectangle((left, top, right - FINE, bottom - FINE), color)

    def text(
        self, place: Point, text: str, at: str = "mm", size: int = 12, color: str = INK
    ) -> None:
        """A text, anchored as Pillow names it: "lm" begins at the place, "mm" is centred there."""
        self.texts.append((place, text, color, font(size), at))

    def title(self, place: Point, text: str) -> None:
        """A text in bold that begins at the place."""
        self.texts.append((place, text, INK, font(13, bold=True), "lm"))

    def save(self, path: Path) -> None:
        """Write the picture as PNG; texts come last, at their own size, which keeps them crisp."""
        from PIL import ImageDraw

        picture = self.image.reduce(FINE)
        pen = ImageDraw.Draw(picture)
        for text in self.texts:
            pen.text(*text)
        picture.save(path, compress_level=3)


class Panel:
    """A plot on a sheet: its corner and size in pixels, its ranges, and what is drawn in it.

    Args:
        sheet: to draw on.
        corner: left and top.
        size: width and height.
        x: first and last value.
        y: lowest and highest value; a logarithmic axis where ``log`` is set.
        log: likewise.
    """

    def __init__(
        self, sheet: Sheet, corner: Point, size: Point, *, x: Point, y: Point, log: bool = False
    ) -> None:
        self.sheet, self.corner, self.size = sheet, corner, size
        self.x, self.y, self.scale = x, y, math.log if log else float

    def place(self, x: float, y: float) -> Point:
        """The pixel of a point."""
        low, high = (self.scale(end) for end in self.y)
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (self.scale(y) - low) / (high - low)
        return self.corner[0] + across * self.size[0], self.corner[1] + (1 - up) * self.size[1]

    def rule(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        """A grid with its numbers."""
        left, top = self.corner
        right, bottom = left + self.size[0], top + self.size[1]
        for y in ys:
            height = self.place(self.x[0], y)[1]
            self.sheet.line([(left, height), (right, height)], RULE)
            self.sheet.text((left - 7, height), f"{y:.3g}", "rm")
        for x in xs:
            across = self.place(x, self.y[0])[0]
            self.sheet.line([(across, top), (across, bottom)], RULE)
            self.sheet.text((across, bottom + 7), f"{x:g}", "mt")

    def curve(self, points: Sequence[Point], color: str, marks: bool) -> None:
        """A line through the points, with a mark on each of them."""
        places = [self.place(*point) for point in points]
        self.sheet.line(places, color, 2)
        for place in places if marks else places[:1]:
            self.sheet.disc(place, 3.5, color)


def ticks(low: float, high: float, log: bool = False) -> list[float]:
    """A few round numbers from ``low`` to ``high``."""
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        leading = (1, 2, 5) if last - first < 4 else (1,)
        found = [lead * 10.0**power for power in range(first, last + 1) for lead in leading]
        return [value for value in found if low <= value <= high]
    unit = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(unit * lead for lead in (1, 2, 5, 10) if (high - low) / (unit * lead) <= 5)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
