"""Pictures as text that a page carries within itself."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from dss_ray.records.rows import Row
from dss_ray.records.sample_plot import canvas

if TYPE_CHECKING:  # most commands draw nothing
    from PIL.Image import Image

ROOM = 24_000_000  # characters of trials' pictures in a page; further ones are left out
SMALL = 100_000  # bytes of a picture that is shown as it is
WIDEST = 1000  # pixels of a larger one


def pictures(folder: Path, rows: Iterable[Row]) -> dict[str, str]:
    """The samples of the rows' solvers by key, as far as they are there and have room."""
    found, room = dict[str, str](), ROOM
    for row in rows:
        path = (folder / str(row.bundle)).with_name("samples.png")
        if row.bundle and room > 0 and path.is_file():
            with suppress(OSError, SyntaxError):  # Pillow raises these for a broken file
                found[row.key] = embedded(path)
                room -= len(found[row.key])
    return found


def embedded(path: Path) -> str:
    """A picture file as a data URI; a large one made smaller."""
    data = path.read_bytes()
    if len(data) <= SMALL:
        return data_uri(data, "png")
    from PIL import Image

    with Image.open(path) as picture:
        return shrunk(picture)


def strip(images: Tensor) -> str:
    """Images (n, C, H, W) in [0, 1] side by side, pixel by pixel where they are small."""
    from PIL import Image

    zoom = max(WIDEST // (images.shape[3] * len(images)), 1)
    whole = Image.fromarray(canvas(images, len(images), zoom))
    if whole.width > 2 * WIDEST:
        return shrunk(whole)
    buffer = BytesIO()
    whole.save(buffer, "png")
    return data_uri(buffer.getvalue(), "png")


def shrunk(picture: Image) -> str:
    """A picture of at most ``WIDEST`` pixels, of photographic quality."""
    smaller = picture.convert("RGB")
    smaller.thumbnail((WIDEST, WIDEST))
    buffer = BytesIO()
    smaller.save(buffer, "jpeg", quality=85)
    return data_uri(buffer.getvalue(), "jpeg")


def data_uri(data: bytes, kind: str) -> str:
    """The bytes of an image as an address."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
