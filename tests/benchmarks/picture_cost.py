"""What the pictures of a trial cost: CPU milliseconds of each, after a first one.

python tests/benchmarks/picture_cost.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from dss_ray.api import load_solver
from dss_ray.records.sample_plot import plot_samples
from dss_ray.records.solver_plot import plot_history, plot_solver

REPEATS = 20
LIMIT = 100.0  # milliseconds that a picture of every trial may take


def cost(draw: Callable[[Path], None], folder: Path) -> float:
    """The median CPU milliseconds of a picture."""
    draw(folder / "first.png")
    times = []
    for number in range(REPEATS):
        began = time.process_time()
        draw(folder / f"{number}.png")
        times.append(1000 * (time.process_time() - began))
    return median(times)


def main() -> None:
    """Print a line per picture."""
    tables = {nfe: load_solver("ab4", nfe).table for nfe in (5, 10, 30)}
    history = {"least-squares": [(n, 1 / (n + 1)) for n in range(10)],
               "gauss-newton": [(n, 1 / (n + 1) ** 2) for n in range(40)]}  # fmt: skip
    images = torch.rand(20, 1, 8, 8)
    pictures: dict[str, Callable[[Path], None]] = {
        f"solver of {nfe} steps": lambda path, t=table: plot_solver(t, path, "solver")
        for nfe, table in tables.items()
    }
    pictures["history"] = lambda path: plot_history(history, path)
    pictures["samples"] = lambda path: plot_samples(images, path, 10, ["teacher", "solver"])
    with TemporaryDirectory() as folder:
        for name, draw in pictures.items():
            took = cost(draw, Path(folder))
            print(f"{name}: {took:.0f} ms, limit {LIMIT:.0f}: {'ok' if took < LIMIT else 'MISSED'}")


if __name__ == "__main__":
    main()
