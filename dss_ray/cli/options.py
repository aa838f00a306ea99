"""Arguments and options that several commands share, and how their texts are read."""

from pathlib import Path
from typing import Annotated

import typer

from dss_ray.errors import UsageError

Model = Annotated[
    str, typer.Argument(help="A model (`dss-ray models`) or package.module:callable.")
]
OnModel = Annotated[
    str, typer.Option("--model", help="A model (`dss-ray models`) or package.module:callable.")
]
Solver = Annotated[
    str, typer.Argument(help="A bundle file, or a name of `dss-ray solvers` with --nfe.")
]
Nfe = Annotated[int | None, typer.Option(min=1, help="Network queries of a classical solver.")]
Grid = Annotated[
    str, typer.Option(help="Time grid of a classical solver: uniform, power:2, edm:7, ...")
]
Guidance = Annotated[
    float | None, typer.Option(help="Guidance scale; a bundle's own, else 1, unless given.")
]


def numbers(text: str, option: str) -> tuple[int, ...]:
    """The integers of a list such as ``0,1,2``.

    Raises:
        UsageError: if ``text`` is something else.
    """
    try:
        return tuple(int(item) for item in text.split(","))
    except ValueError:
        raise UsageError(f"{option}: expected integers such as 0,1,2, got '{text}'") from None


def unused(path: Path, option: str) -> Path:
    """``path``, refused if something is there: a solver is never overwritten."""
    if path.exists():
        raise UsageError(f"{option}: {path} exists already; delete it or choose another file")
    return path


def free(path: Path) -> Path:
    """``path``, with -2, -3 and so on before its suffix if it is taken."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate
