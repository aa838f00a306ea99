"""What a search costs and what its solver is worth, cell by cell: ``docs/search_cost.csv``.

    python tests/benchmarks/search_cost.py                run what is missing
    python tests/benchmarks/search_cost.py --summary      the claims, and medians over search seeds
    python tests/benchmarks/search_cost.py --overview     the README's tables
    python tests/benchmarks/search_cost.py --picture      draw docs/search_cost.png

A cell is a model, a guidance scale, a number of queries, a method and a search seed. Its rmse to
the converged teacher is taken on 2,000 evaluation noises of seed 0 (``rmse_mean`` and
``rmse_spread``: of the seeds 0, 1 and 2), its FID, precision and recall on 2,000 samples of each
of the three seeds under two extractors, of which digits-mlp alone ever steers. Objectives are
compared by the FID of 10,000 samples of each seed: that of 2,000 is higher by about 0.09 for all,
since it grows with every direction in which so few samples vary by chance. Seconds are
processor seconds on one thread, since wall seconds depend on what else runs; the teacher's
evaluations and seconds stand beside those of the search, although searches that follow find its
trajectories in the cache. Found solvers are kept in ``--work``; what is there or in the CSV is
never computed again, so the benchmark may be stopped at any time: to measure a cell again, delete
both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

import torch
from search_cost_cells import GUIDANCE, METHODS, MODELS, SEEDS, Cell, all_cells
from search_cost_overview import overview
from search_cost_picture import draw
from search_cost_rows import (
    COLUMNS,
    FID,
    FID_SEEDS,
    Row,
    Table,
    append_row,
    key_of,
    read_rows,
)
from search_cost_solvers import commit, fid_of_many, find, measure
from search_cost_summary import summary

from dss_ray import __version__
from dss_ray.api import load_model
from dss_ray.evaluation.figures import Figure

DOCS = Path(__file__).parents[2] / "docs"
load_once = cache(load_model)


def listed(kind: Callable[[str], object]) -> Callable[[str], list[object]]:
    """A reader of lists separated by commas."""
    return lambda text: [kind(part) for part in text.split(",")]


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, kind, values in (
        ("models", str, MODELS),
        ("guidance", float, GUIDANCE),
        ("nfe", int, sorted({nfe for method in METHODS.values() for nfe in method.nfes})),
        ("methods", str, tuple(METHODS)),
        ("seeds", int, SEEDS),
    ):
        parser.add_argument(
            f"--{name}",
            type=listed(kind),
            default=list(values),
            help=f"default: {','.join(map(str, values))}",
        )
    parser.add_argument("--budget-minutes", type=float, default=float("inf"))
    parser.add_argument("--csv", type=Path, default=DOCS / "search_cost.csv")
    parser.add_argument("--work", type=Path, default=Path("runs/search_cost"))
    parser.add_argument("--summary", action="store_true", help="only print what the CSV shows")
    parser.add_argument("--overview", action="store_true", help="only print the README's tables")
    parser.add_argument("--picture", action="store_true", help="only draw it, beside the CSV")
    return parser.parse_args()


def measured_row(cell: Cell, work: Path) -> Row:
    """The row of a cell; long."""
    model = load_once(cell.model)
    found = find(cell, model, work)
    judged, costs = measure(found.bundle, model), found.bundle.search
    rmse = next(iter(judged.values()))["rmse"]
    row = dict.fromkeys(COLUMNS, "") | dict(zip(COLUMNS, cell.key, strict=False))
    for judge, figures in judged.items():
        for name in ("fid", "precision", "recall") if judge else ():
            row[f"{name}[{judge}]"] = f"{figures[name].mean:.6g}"
        if judge:
            row[f"fid_spread[{judge}]"] = f"{figures['fid'].spread:.6g}"
            row[f"fid_seeds[{judge}]"] = seeds_of(figures["fid"])
    if cell.compared:
        many = fid_of_many(found.bundle, model)
        row[FID], row[FID_SEEDS] = f"{many.mean:.6g}", seeds_of(many)
    return row | {
        "solver": found.bundle.name,
        "space": "whole" if found.bundle.table.free else "velocity",
        "rmse": f"{rmse.values[0]:.6g}",
        "rmse_mean": f"{rmse.mean:.6g}",
        "rmse_spread": f"{rmse.spread:.6g}",
        "evaluations": str(costs.evaluations if costs else 0),
        "seconds": f"{found.seconds:.2f}",
        "reference_evaluations": str(costs.reference_evaluations if costs else 0),
        "reference_seconds": f"{found.reference_seconds:.2f}",
        "version": __version__,
        "commit": found.commit or commit(),
    }


def seeds_of(figure: Figure) -> str:
    """The values of a figure on the evaluation seeds."""
    return " ".join(f"{value:.6g}" for value in figure.values)


def run(cells: Sequence[Cell], work: Path, path: Path, budget: float) -> None:
    """Measure the cells one after another, until ``budget`` seconds are over."""
    began, taken = time.monotonic(), dict[str, list[float]]()
    for number, cell in enumerate(cells, 1):
        if time.monotonic() - began > budget:
            print(f"the budget is spent with {len(cells) - number + 1} cells to go")
            return
        started = time.monotonic()
        row = measured_row(cell, work)
        append_row(path, row)
        taken.setdefault(cell.method, []).append(time.monotonic() - started)
        typical = fmean(seconds for group in taken.values() for seconds in group)
        left = sum(fmean(taken.get(cell.method, [typical])) for cell in cells[number:])
        print(
            f"{number}/{len(cells)} {' '.join(cell.key)}: rmse {row['rmse']}, "
            f"{row['evaluations']} evaluations in {row['seconds']} s; "
            f"about {left / 60:.0f} minutes left",
            flush=True,
        )


def main() -> None:
    """Run, summarise or draw."""
    given = options()
    rows = read_rows(given.csv)
    if given.summary:
        print(summary(Table(rows), given.models, given.guidance))
        return
    if given.overview:
        print(overview(Table(rows)))
        return
    if given.picture:
        draw(Table(rows), given.models[0], given.guidance[0], given.csv.with_suffix(".png"))
        return
    torch.set_num_threads(1)
    time.perf_counter = time.process_time  # so that all seconds of the package are the processor's
    done = {key_of(row) for row in rows}
    chosen = [
        cell
        for cell in all_cells()
        if cell.key not in done
        and cell.model in given.models
        and cell.guidance in given.guidance
        and cell.nfe in given.nfe
        and cell.method in given.methods
        and cell.seed in given.seeds
    ]
    run(chosen, given.work, given.csv, 60 * given.budget_minutes)


if __name__ == "__main__":
    main()
