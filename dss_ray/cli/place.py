"""Where bundles are written: under a name that says what they are, never over another."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dss_ray.errors import UsageError

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
    from dss_ray.bundle import Bundle


def bundle_place(bundle: "Bundle", folder: Path) -> Path:
    """MODEL-NFE-METHOD[-guidance-SCALE].json in ``folder``; -2, -3 and so on if that is taken."""
    method = bundle.search.method if bundle.search else bundle.name
    scale = "per-step" if isinstance(bundle.guidance, tuple) else f"{bundle.guidance:g}"
    parts = [bundle.model, str(bundle.table.nfe), method]
    parts += [] if scale == "1" else ["guidance", scale]
    stem = re.sub(r"[^\w.+-]+", "-", "-".join(filter(None, parts)))
    path, number = folder / f"{stem}.json", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.json"
    return path


def unused(path: Path, option: str) -> Path:
    """``path`` itself.

    Raises:
        UsageError: if something is there already.
    """
    if path.exists():
        raise UsageError(f"{option}: {path} exists already; delete it or choose another file")
    return path
