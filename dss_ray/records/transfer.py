"""How solvers do on models that they were not searched on, against the best classical one there."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dss_ray.models.spec import short
from dss_ray.records.rows import Row

SOURCE = "searched_on"  # the parameter that says where a solver comes from
METRICS = ("rmse", "fid")
Cells = dict[tuple[int, str, str], float]  # (NFE, source, model) -> ratio


def sources(rows: Sequence[Row]) -> list[str]:
    """Where the solvers come from, those searched first, without the classical ones."""
    searched = [str(row.params[SOURCE]) for row in rows if row.kind == "searched"]
    published = [str(row.params[SOURCE]) for row in rows if row.kind == "published"]
    return list(dict.fromkeys(searched + published))


def ratios(rows: Sequence[Row], metric: str) -> Cells:
    """Each solver's figure over that of the best classical solver of the same model and NFE.

    Where a diverged solver has no figure, there is no cell.
    """
    best = {
        (row.nfe, row.model): value
        for row in rows
        if row.kind == "classical" and (value := getattr(row, metric))
    }
    return {
        (row.nfe, str(row.params[SOURCE]), row.model): value / best[row.nfe, row.model]
        for row in rows
        if row.kind != "classical"
        and (row.nfe, row.model) in best
        and (value := getattr(row, metric)) is not None
    }


def render_transfer(rows: Sequence[Row], metric: str, title: str) -> Table:
    """The ratios as a table: a line per NFE and source, a column per model."""
    models = list(dict.fromkeys(row.model for row in rows))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title)
    for head in ("NFE", "searched on"):
        table.add_column(head, no_wrap=True)
    for model in models:  # broken at hyphens, so that many columns fit without losing letters
        table.add_column(short(model).replace("-", "-\n"), justify="right", no_wrap=True)
    cells = ratios(rows, metric)
    for nfe in sorted({row.nfe for row in rows}):
        for number, source in enumerate(sources(rows)):
            found = [cells.get((nfe, source, model)) for model in models]
            if any(value is not None for value in found):
                shown = [Text("-") if v is None else Text(f"{v:.2f}", style(v)) for v in found]
                table.add_row("" if number else str(nfe), short(source), *shown)
        table.add_section()
    return table


def style(ratio: float) -> str:
    """Green where the solver beats the best classical one, red where it loses."""
    return "green" if ratio < 1 else "red"
