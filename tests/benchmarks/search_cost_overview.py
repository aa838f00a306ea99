"""The benchmark of search costs as the README shows it: lines per model, guidance and NFE."""

from __future__ import annotations

from collections.abc import Iterator

from search_cost_cells import (
    COMPARED,
    FEW,
    FEWEST,
    GUIDANCE,
    IMAGES,
    JUDGE,
    MODELS,
    NFES,
    SEEDS,
)
from search_cost_rows import COSTS, FID, Row, Table, total

COLUMNS = (
    "model", "guidance", "NFE", "best classical, of 21 grids", "best published",
    "the paper's recipe", "least squares", "gradient, tuned", "default", "recipe costs",
    "least squares costs", "default costs",
)  # fmt: skip
NOTHING = "-"
PUBLISHED = ("flow-sit", "flow-dcn", "vp-dit")


def overview(table: Table) -> str:
    """Two Markdown tables of medians over the search seeds."""
    return f"{errors(table)}\n\n{distances(table)}"


def distances(table: Table) -> str:
    """The FID and recall of solvers found with other aims, where one was measured."""
    columns = "model", "guidance", "NFE", *(f"FID, recall: {name}" for name in COMPARED)
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for model in IMAGES:
        for guidance in GUIDANCE:
            for nfe in FEWEST:
                if table.rows(model, guidance, nfe, "frechet"):
                    nfes = [0 if name == "teacher" else nfe for name in COMPARED]
                    found = [
                        table.rows(model, guidance, *cell)
                        for cell in zip(nfes, COMPARED, strict=True)
                    ]
                    line = model, f"{guidance:g}", str(nfe), *map(distance, found)
                    lines.append(f"| {' | '.join(line)} |")
    return "\n".join(lines)


def distance(rows: list[Row]) -> str:
    """FID and recall under the judge."""
    if not rows:
        return NOTHING
    return f"{total(FID)(rows):.3f}, {total(f'recall[{JUDGE}]')(rows):.3f}{seeds(rows)}"


def seeds(rows: list[Row]) -> str:
    """The number of search seeds where some are missing."""
    searched = float(rows[0]["evaluations"]) > 0
    return f" ({len(rows)})" if searched and len(rows) < len(SEEDS) else ""


def errors(table: Table) -> str:
    """rmse and costs, where the default was measured."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for model in MODELS:
        for guidance in GUIDANCE:
            for nfe in (*FEW, *NFES):
                if table.rows(model, guidance, nfe, "default"):
                    lines.append(f"| {' | '.join(entries(table, model, guidance, nfe))} |")
    return "\n".join(lines)


def entries(table: Table, model: str, guidance: float, nfe: int) -> Iterator[str]:
    """The entries of one line."""
    yield from (model, f"{guidance:g}", str(nfe))

    def rows(method: str) -> list[Row]:
        return table.rows(model, guidance, nfe, method)

    published = [rows(name) for name in PUBLISHED]
    gradients = [rows(name) for name in ("gradient", "gradient-velocity")]
    yield error([rows("classical")])
    yield error(published)
    yield error([rows("paper")])
    yield error([rows("least-squares")])
    yield error(gradients)
    yield f"**{error([rows('default')])}**"
    yield from (cost(rows(name)) for name in ("paper", "least-squares", "default"))


def error(rivals: list[list[Row]]) -> str:
    """The least of the rivals' rmse."""
    measured = [rows for rows in rivals if rows]
    if not measured:
        return NOTHING
    best = min(measured, key=total("rmse"))
    return f"{total('rmse')(best):.4f}{seeds(best)}"


def cost(rows: list[Row]) -> str:
    """Network evaluations and processor seconds, the teacher's included."""
    if not rows:
        return NOTHING
    evaluations, seconds = total(COSTS[0], COSTS[2])(rows), total(COSTS[1], COSTS[3])(rows)
    many = f"{evaluations / 1e6:.1f}M" if evaluations >= 1e6 else f"{evaluations / 1e3:.0f}k"
    return f"{many}, {seconds:.0f} s"
