"""The CSV of the benchmark of search costs: one row per cell, appended whole."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from search_cost_cells import JUDGE, STEERING

Row = dict[str, str]
KEY = ("model", "guidance", "nfe", "method", "seed")
JUDGED = tuple(
    f"{figure}[{judge}]"
    for judge in (JUDGE, STEERING)
    for figure in ("fid", "fid_spread", "fid_seeds", "precision", "recall")
)
FID, FID_SEEDS = f"fid_10k[{JUDGE}]", f"fid_10k_seeds[{JUDGE}]"  # of few queries' solvers alone
COSTS = ("evaluations", "seconds", "reference_evaluations", "reference_seconds")
COLUMNS = (
    *KEY, "solver", "space", "rmse", "rmse_mean", "rmse_spread", *JUDGED, FID, FID_SEEDS,
    *COSTS, "version", "commit",
)  # fmt: skip


def read_rows(path: Path) -> list[Row]:
    """The finished rows; the rest of one that a killed process left is cut off the file."""
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        os.truncate(path, whole)
    return list(csv.DictReader(io.StringIO(text[:whole].decode())))


def append_row(path: Path, row: Row) -> None:
    """Add a row in one write, with the header before the first."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    if not path.exists() or not path.stat().st_size:
        writer.writeheader()
    writer.writerow(row)
    with path.open("ab", buffering=0) as file:
        file.write(buffer.getvalue().encode())
        os.fsync(file.fileno())


def key_of(row: Row) -> tuple[str, ...]:
    """What a row is known by; see ``Cell.key``."""
    return tuple(row[column] for column in KEY)


class Table:
    """Rows by cell, their search seeds together."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.seeds = dict[tuple[str, ...], dict[str, Row]]()
        for row in rows:  # of two rows of a key the later one counts
            self.seeds.setdefault(key_of(row)[:-1], {})[row["seed"]] = row

    def rows(self, model: str, guidance: float, nfe: int, method: str) -> list[Row]:
        """The rows of all seeds measured so far."""
        return list(self.seeds.get((model, f"{guidance:g}", str(nfe), method), {}).values())


def total(*columns: str) -> Callable[[list[Row]], float]:
    """Median over rows of the sum of ``columns``."""
    return lambda rows: median(sum(float(row[column]) for column in columns) for row in rows)
