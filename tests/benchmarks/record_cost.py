"""What recording a trial costs: CPU milliseconds of each picture and of MLflow, after a first one.

python tests/benchmarks/record_cost.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from dss_ray.api import load_solver
from dss_ray.records.mlflow.recorder import SweepRecorder
from dss_ray.records.rows import Row
from dss_ray.records.sample_plot import plot_samples
from dss_ray.records.solver_plot import plot_history, plot_solver

REPEATS = 20
PICTURE, RECORD = 100.0, 300.0  # milliseconds that a picture and a trial's record may take


def cost(act: Callable[[Path], None], folder: Path) -> float:
    """The median CPU milliseconds of an act, which gets a new path each time."""
    act(folder / "first.png")
    times = []
    for number in range(REPEATS):
        began = time.process_time()
        act(folder / f"{number}.png")
        times.append(1000 * (time.process_time() - began))
    return median(times)


def recording(folder: Path) -> Callable[[Path], None]:
    """What records a trial with a history and four files in an MLflow store in ``folder``."""
    params = {"nfe": 5}
    store = SweepRecorder("sweep", swept=["nfe"], features="digits-cnn", constants={},
                          uri=f"sqlite:///{folder}/mlflow.db")  # fmt: skip
    files = [folder / f"{name}.bin" for name in "abcd"]
    for file in files:
        file.write_bytes(bytes(50_000))
    history = {"gauss-newton": [(n, 1.0) for n in range(500)]}

    def record(path: Path) -> None:
        row = Row(key=path.stem, status="done", kind="searched", model="m", solver="s", nfe=5,
                  guidance=1.0, params=params, fid=2.0, features="digits-cnn")  # fmt: skip
        store.begin(path.stem, params, path.stem)
        store.finish(row, history, files)

    return record


def main() -> None:
    """Print a line per picture, and one for the record."""
    tables = {nfe: load_solver("ab4", nfe).table for nfe in (5, 10, 30)}
    history = {"least-squares": [(n, 1 / (n + 1)) for n in range(10)],
               "gauss-newton": [(n, 1 / (n + 1) ** 2) for n in range(40)]}  # fmt: skip
    images = torch.rand(20, 1, 8, 8)
    acts: dict[str, Callable[[Path], None]] = {
        f"solver of {nfe} steps": lambda path, t=table: plot_solver(t, path, "solver")
        for nfe, table in tables.items()
    }
    acts["history"] = lambda path: plot_history(history, path)
    acts["samples"] = lambda path: plot_samples(images, path, 10, ["teacher", "solver"])
    with TemporaryDirectory() as folder:
        acts["record in MLflow"] = recording(Path(folder))
        for name, act in acts.items():
            took, limit = cost(act, Path(folder)), RECORD if "record" in name else PICTURE
            print(f"{name}: {took:.0f} ms, limit {limit:.0f}: {'ok' if took < limit else 'MISSED'}")


if __name__ == "__main__":
    main()
