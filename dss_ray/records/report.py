"""One HTML page of a sweep that needs nothing but a browser: no network, no other file."""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from dss_ray.bundle import write_whole
from dss_ray.errors import FileError
from dss_ray.records.drawing import BLUE, LOOKS, VERMILLION

PAGE = files("dss_ray.records").joinpath("page")
SCRIPTS = ("tables.js", "charts.js", "trial.js", "page.js")


def render_page(document: dict[str, Any]) -> str:
    """The page of what ``report_document`` gives, plotly.js within it."""
    from plotly.offline import get_plotlyjs

    # "<" only as an escape: no text of a sweep can end the element that holds it.
    data = json.dumps(document, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {
        "title": html.escape(document["name"]),
        "style": palette() + text("page.css"),
        "plotly": get_plotlyjs(),
        "data": data,
        "script": "\n".join(map(text, SCRIPTS)),
    }
    return re.sub(r"%%(\w+)%%", lambda found: parts[found[1]], text("page.html"))


def palette() -> str:
    """The colours of the pictures as variables of the page, light and dark."""
    light = {kind: look.color for kind, look in LOOKS.items()} | {"cold": BLUE, "warm": VERMILLION}
    dark = {kind: look.on_dark for kind, look in LOOKS.items()}
    first, second = (
        ":root{" + "".join(f"--{name}:{color};" for name, color in colors.items()) + "}\n"
        for colors in (light, dark)
    )
    return f"{first}@media (prefers-color-scheme: dark){{{second}}}\n"


def text(name: str) -> str:
    """A file of the page."""
    return PAGE.joinpath(name).read_text(encoding="utf-8")


def write_page(page: str, path: Path) -> None:
    """Write ``page`` so that ``path`` holds the whole of it or what was there before.

    Raises:
        FileError: if it cannot be written.
    """
    try:
        write_whole(page, path)
    except OSError as error:
        raise FileError(f"{path}: cannot write the report ({error.strerror or error})") from None
