"""Where exports are written: under a name that says what they are, never over another file."""

import re
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from dss_ray.errors import FileError

if TYPE_CHECKING:  # torch is slow to import, and the command line's --help needs none of it
    from dss_ray.bundle import Bundle

LONGEST = 120  # characters of a name, which file systems limit


def stem(bundle: "Bundle") -> str:
    """MODEL-NFE-METHOD[-guidance-SCALE]."""
    method = bundle.search.method if bundle.search else bundle.name
    scale = "per-step" if isinstance(bundle.guidance, tuple) else f"{bundle.guidance:g}"
    parts = [bundle.model, str(bundle.table.nfe), method]
    parts += [] if scale == "1" else ["guidance", scale]
    return re.sub(r"[^\w.+-]+", "-", "-".join(filter(None, parts)))[:LONGEST]


def identifier(name: str) -> str:
    """``name`` as that of a Python module."""
    joined = re.sub(r"\W+", "_", name)
    return joined if joined.isidentifier() else f"solver_{joined}"


def places(folder: Path, name: str, suffix: str, mark: str = "-") -> Iterator[Path]:
    """``name`` with its suffix in ``folder``, then with -2, -3 and so on before it."""
    numbers = chain([""], (f"{mark}{number}" for number in count(2)))
    return (folder / f"{name}{number}{suffix}" for number in numbers)


def write_new(text: str, candidates: Iterator[Path]) -> Path:
    """Write ``text`` to the first place that is free or holds the very same; returns it.

    Raises:
        FileError: if the folder cannot be written.
    """
    from dss_ray.bundle import write_whole

    for path in candidates:
        try:
            if not path.exists():
                write_whole(text, path)
            elif not path.is_file() or path.read_bytes() != text.encode():
                continue
        except OSError as error:
            raise FileError(
                f"{path}: cannot write the export ({error.strerror}); choose another place"
            ) from None
        return path
    raise AssertionError("there is always another number")
