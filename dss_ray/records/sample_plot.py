"""Grids of samples, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.records.drawing import INK
from dss_ray.records.raster import font

CELL = 56  # pixels that one sample fills at least
Pixels = NDArray[np.uint8]


def plot_samples(images: Tensor, path: Path, columns: int, row_labels: Sequence[str] = ()) -> None:
    """Save images (n, C, H, W) in [0, 1] as a grid of ``columns``, each row named at its left.

    Raises:
        UsageError: if the images do not fill whole rows or the labels do not name each of them.
    """
    count, channels, height, _ = images.shape
    rows = count // columns
    if rows * columns != count or len(row_labels) not in (0, rows) or channels not in (1, 3):
        raise UsageError(
            f"sample grid: expected rows of {columns} grey or colour images with one label each, "
            f"got {count} images of {channels} channels and {len(row_labels)} labels"
        )
    zoom = -(-CELL // height)
    save_canvas(canvas(images, columns, zoom), height * zoom + 2, path, row_labels)


def canvas(images: Tensor, columns: int, zoom: int = 1) -> Pixels:
    """Images (n, C, H, W) in [0, 1] as one picture (height, width, 3), a white rule around each."""
    pixels = images.detach().float().cpu().clamp(0, 1).permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    enlarged = pixels.repeat_interleave(zoom, 1).repeat_interleave(zoom, 2).numpy()
    cells = np.pad(enlarged, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)
    rows, (tall, wide) = len(cells) // columns, cells.shape[1:3]
    whole = cells.reshape(rows, columns, tall, wide, 3).swapaxes(1, 2)
    return (whole.reshape(rows * tall, columns * wide, 3) * 255).round().astype(np.uint8)


def save_canvas(pixels: Pixels, tall: int, path: Path, row_labels: Sequence[str]) -> None:
    """The picture pixel by pixel beside a margin with the labels of its rows of ``tall`` pixels."""
    from PIL import Image, ImageDraw

    height, width = pixels.shape[:2]
    letters = font(13)
    margin = max((round(letters.getlength(label)) + 16 for label in row_labels), default=0)
    picture = Image.new("RGB", (margin + width, height), "white")
    picture.paste(Image.fromarray(pixels), (margin, 0))
    pen = ImageDraw.Draw(picture)
    for number, label in enumerate(row_labels):
        pen.text((margin - 8, (number + 0.5) * tall), label, INK, letters, "rm")
    picture.save(path)
