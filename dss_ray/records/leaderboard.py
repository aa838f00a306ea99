"""Rank rows: per step count the best searched solver beside the best without a search."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from itertools import groupby
from operator import itemgetter
from statistics import fmean, stdev
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dss_ray.models.spec import short
from dss_ray.records.rows import Row, distance_name

KINDS = ("searched", "classical", "published")
CAPTION = (
    "NFE with *: on the front; FID with ?: selection seeds only; scale: of guidance; evals, s: "
    "network evaluations and seconds of the search; verdict: to the best classical"
)
Entry = Mapping[str, Any]  # a row of the leaderboard
COLORS = {"better": "green", "worse": "red"}


def leaderboard_rows(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Per (model, extractor, NFE) the best searched, classical and published row, JSON-ready.

    The best of a kind is chosen by the distance on the selection seeds; its other figures are
    what the row reports, those on fresh seeds where the finalists were evaluated again. Each dict
    is a row and five entries:

    * ``verdict``: "better", "worse" or "tied" against the best classical one; None where there is
      none or the two have no common fresh seeds (see ``verdict``).
    * ``fid_change``, ``fid_change_error``: paired mean difference to it and its standard error.
    * ``classical_rmse``: the least rmse of all classical rows at the same NFE *and guidance*; at
      another guidance the reference is another, and rmse cannot be compared.
    * ``front``: whether no entry has fewer evaluations and a lower distance (``pareto_front``).
    """
    board: list[dict[str, Any]] = []
    done = [row for row in rows if row.status == "done"]
    for model, features in sorted({(row.model, row.features) for row in done}):
        group = [row for row in done if (row.model, row.features) == (model, features)]
        chosen = best_of_each(group)
        front = {row.identity for row in pareto_front(chosen)}
        for row in chosen:
            entry = row.model_dump(mode="json") | compared(row, chosen, group)
            board.append(entry | {"front": row.identity in front})
    return board


def best_of_each(rows: Sequence[Row]) -> list[Row]:
    """The best row per (NFE, kind), by NFE and in the order of ``KINDS``."""
    return best_few(rows, 1)


def best_few(rows: Sequence[Row], count: int) -> list[Row]:
    """The best ``count`` rows per (NFE, kind), the best first, in the order of ``best_of_each``."""
    groups: dict[tuple[int, int], list[Row]] = {}
    for row in sorted(comparable(rows), key=merit):
        groups.setdefault((row.nfe, KINDS.index(row.kind)), []).append(row)
    return [row for place in sorted(groups) for row in groups[place][:count]]


def comparable(rows: Sequence[Row]) -> list[Row]:
    """Without the trials that break a constraint or were stopped early.

    A distance falls with the sample count.
    """
    full = max((row.samples for row in rows if not row.final), default=0)
    return [row for row in rows if not row.violated and (row.final or row.samples == full)]


def merit(row: Row) -> tuple[float, float]:
    """What selects a row, less being better: the selection distance, and where equal the rmse."""
    return or_worst(row.selection_fid if row.final else row.fid), or_worst(row.rmse)


def or_worst(figure: float | None) -> float:
    """The figure, infinity where there is none."""
    return math.inf if figure is None else figure


def compared(row: Row, chosen: Sequence[Row], group: Sequence[Row]) -> dict[str, Any]:
    """How ``row`` stands against the classical solvers of its NFE."""
    rivals = [other for other in chosen if other.kind == "classical" and other.nfe == row.nfe]
    change = paired(row, rivals[0]) if rivals and row.kind != "classical" else None
    same = [other for other in group if (other.nfe, other.guidance) == (row.nfe, row.guidance)]
    errors = [other.rmse for other in same if other.kind == "classical" and other.rmse is not None]
    return {
        "verdict": verdict(*change) if change else None,
        "fid_change": change[0] if change else None,
        "fid_change_error": change[1] if change else None,
        "classical_rmse": min(errors, default=None),
    }


def paired(row: Row, rival: Row) -> tuple[float, float] | None:
    """Mean difference of the distances over common fresh seeds, and its standard error."""
    count = len(row.fid_values)
    alike = row.final and rival.final and row.samples == rival.samples
    if not alike or count < 2 or count != len(rival.fid_values):
        return None
    return mean_difference(row.fid_values, rival.fid_values)


def mean_difference(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Mean of the paired differences of at least two seeds, and its standard error."""
    changes = [own - other for own, other in zip(ours, theirs, strict=True)]
    return fmean(changes), stdev(changes) / math.sqrt(len(changes))


def verdict(change: float, error: float) -> str:
    """Tied, unless the mean difference exceeds two standard errors."""
    if abs(change) <= 2 * error:
        return "tied"
    return "better" if change < 0 else "worse"


def pareto_front(rows: Iterable[Row]) -> list[Row]:
    """The rows that no other beats in NFE and distance at once, by NFE; one model and extractor."""
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.nfe, or_worst(row.fid))):
        if or_worst(row.fid) < min((or_worst(better.fid) for better in front), default=math.inf):
            front.append(row)
    return front


def render(board: Sequence[dict[str, Any]], title: str = "") -> Table:
    """The leaderboard as a table to read; numbers keep their width where the terminal is narrow."""
    fronts = {(entry["model"], entry["features"]) for entry in board}
    name = distance_name(board[0]["features"]) if len(fronts) == 1 else "FID"
    table = Table(title=title or None, caption=CAPTION, box=SIMPLE_HEAD, padding=0, pad_edge=False)
    for head in ["model"] * (len(fronts) > 1) + ["NFE", "solver", "grid"]:
        table.add_column(head, justify="right" if head == "NFE" else "left", overflow="fold")
    for head in ["scale", name.replace("[", "\n["), "rmse", "evals", "s"]:
        table.add_column(Text(head), justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for _, entries in groupby(board, itemgetter("model", "features", "nfe")):
        for entry in entries:
            texts = ([Text(front_name(entry))] if len(fronts) > 1 else []) + cells(entry)
            table.add_row(*texts, style="bold" if entry["searched"] else None)
        table.add_section()
    return table


def front_name(entry: dict[str, Any]) -> str:
    """What tells the fronts of one leaderboard apart."""
    return f"{short(entry['model'])} {distance_name(entry['features'])}"


def cells(entry: dict[str, Any]) -> list[Text]:
    """The texts of one line of the table, from NFE on."""
    spread, outcome = entry["fid_spread"], entry["verdict"] or "-"
    remark = "" if spread is None else f"±{spread:.3f}"
    texts = [
        f"{'*' if entry['front'] else ''}{entry['nfe']}",
        entry["method"] or entry["solver"],
        entry["grid"] or "-",
        f"{entry['guidance']:g}",
        figure(entry["fid"], ".3f") + (remark if entry["final"] else "?"),
        figure(entry["rmse"], ".4f"),
        figure(entry["evaluations"], "d"),
        figure(entry["seconds"], ".1f"),
    ]
    return [*map(Text, texts), Text(outcome, style=COLORS.get(outcome, ""))]


def figure(value: float | None, form: str) -> str:
    """A number in the given format, a dash where there is none."""
    return "-" if value is None else format(value, form)


def to_csv(board: Sequence[dict[str, Any]]) -> str:
    """The leaderboard as CSV with a header; per-seed values joined by spaces, params left out."""
    fields = [name for name in (board[0] if board else Row.model_fields) if name != "params"]
    text = StringIO()
    writer = csv.DictWriter(text, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for entry in board:
        joined = {name: " ".join(map(repr, entry[name])) for name in ("fid_values", "seeds")}
        writer.writerow(entry | joined)
    return text.getvalue()


def to_markdown(board: Sequence[dict[str, Any]]) -> str:
    """The leaderboard as a Markdown table with the columns of ``render``."""
    fronts = {(entry["model"], entry["features"]) for entry in board}
    name = distance_name(board[0]["features"]) if len(fronts) == 1 else "FID"
    heads = ["model"] * (len(fronts) > 1) + ["NFE", "solver", "grid", "guidance", name]
    lines = [[*heads, "rmse", "evaluations", "seconds", "verdict"], ["---"] * (len(heads) + 4)]
    for entry in board:
        model = [front_name(entry)] if len(fronts) > 1 else []
        lines.append(model + [text.plain for text in cells(entry)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{CAPTION}\n"
