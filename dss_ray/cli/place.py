"""Where bundles are written: under a name that says what they are, never over another."""

from pathlib import Path
from typing import TYPE_CHECKING

from dss_ray.errors import UsageError
from dss_ray.export.place import places, stem

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
    from dss_ray.bundle import Bundle


def bundle_place(bundle: "Bundle", folder: Path) -> Path:
    """MODEL-NFE-METHOD[-guidance-SCALE].json in ``folder``; -2, -3 and so on if that is taken."""
    candidates = places(folder, stem(bundle), ".json")
    return next(path for path in candidates if not path.exists())


def unused(path: Path, option: str) -> Path:
    """``path`` itself.

    Raises:
        UsageError: if something is there already.
    """
    if path.exists():
        raise UsageError(f"{option}: {path} exists already; delete it or choose another file")
    return path
