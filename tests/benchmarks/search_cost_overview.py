"""The benchmark of search costs as the README shows it: one line per model, guidance and NFE."""

from __future__ import annotations

from collections.abc import Iterator

from search_cost_cells import FEW, FLOW, GUIDANCE, MODELS, NFES, SEEDS
from search_cost_rows import COSTS, Row, Table, total

COLUMNS = (
    "model", "guidance", "NFE", "best classical, of 21 grids", "best published",
    "the paper's recipe", "least squares", "gradient, tuned", "default", "recipe costs",
    "least squares costs", "default costs",
)  # fmt: skip
NOTHING = "-"
PUBLISHED = {True: ("flow-sit", "flow-dcn"), False: ("vp-dit",)}  # by whether a model is a flow


def overview(table: Table) -> str:
    """A Markdown table of medians over the search seeds, where the default was measured."""
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

    published = [
        rows(name) for name in (("flow-sit", "flow-dcn") if model in FLOW else ("vp-dit",))
    ]
    gradients = [rows(name) for name in ("gradient", "gradient-velocity")]
    yield error([rows("classical")])
    yield error(published)
    yield error([rows("paper")])
    yield error([rows("least-squares")])
    yield error(gradients)
    yield f"**{error([rows('default')])}**"
    yield from (cost(rows(name)) for name in ("paper", "least-squares", "default"))


def error(rivals: list[list[Row]]) -> str:
    """The least of the rivals' rmse, with the number of search seeds where some are missing."""
    measured = [rows for rows in rivals if rows]
    if not measured:
        return NOTHING
    best = min(measured, key=total("rmse"))
    searched = float(best[0]["evaluations"]) > 0
    seeds = f" ({len(best)})" if searched and len(best) < len(SEEDS) else ""
    return f"{total('rmse')(best):.4f}{seeds}"


def cost(rows: list[Row]) -> str:
    """Network evaluations and processor seconds, the teacher's included."""
    if not rows:
        return NOTHING
    evaluations, seconds = total(COSTS[0], COSTS[2])(rows), total(COSTS[1], COSTS[3])(rows)
    many = f"{evaluations / 1e6:.1f}M" if evaluations >= 1e6 else f"{evaluations / 1e3:.0f}k"
    return f"{many}, {seconds:.0f} s"
