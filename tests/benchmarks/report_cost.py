"""How long a report of a sweep of 100 trials takes, as a command, and how large its page is.

python tests/benchmarks/report_cost.py
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from dss_ray.api import load_solver
from dss_ray.bundle import SearchProvenance, save_bundle
from dss_ray.config.read import load_sweep
from dss_ray.models.zoo import load_model
from dss_ray.records.mlflow.recorder import IDENTITY, SweepRecorder
from dss_ray.records.rows import Row, append_row
from dss_ray.records.sample_plot import plot_samples
from dss_ray.tune.folder import freeze, identity

TRIALS, LIMIT = 100, 10.0  # seconds
SPACE = """
name: night
models: [digits-sit]
search:
  nfe: {choice: [4, 5, 6, 8, 10]}
  grid: {choice: [uniform, cosine]}
  ridge: {range: [1.0e-6, 1.0e-3], log: true}
baselines: {methods: [euler], grids: [uniform]}
"""


def make(folder: Path) -> None:
    """A sweep as it lies in runs/night and in MLflow."""
    Path("space.yaml").write_text(SPACE)
    freeze(folder, load_sweep("space.yaml"))
    model, draw = load_model("digits-sit"), random.Random(0)
    store = SweepRecorder(
        "night", swept=["nfe"], features="f", constants={IDENTITY: identity(folder)}
    )
    for number in range(TRIALS):
        nfe, grid = draw.choice([4, 5, 6, 8, 10]), draw.choice(["uniform", "cosine"])
        place, fid = Path("trials") / str(number), draw.uniform(1, 3)
        search = SearchProvenance(
            method="gradient", grid=grid, start="ab2", seed=0, samples=64, settings={},
            evaluations=1, seconds=1.0, reference_evaluations=1, reference_seconds=1.0,
            history={"gradient": tuple((step, 1 / (step + 1)) for step in range(400))},
        )  # fmt: skip
        update = {"search": search, "model": model.name, "model_fingerprint": model.fingerprint}
        bundle = load_solver("ab2", nfe, grid).model_copy(update=update)
        save_bundle(bundle, folder / place / "solver.json")
        plot_samples(torch.rand(20, 1, 8, 8), folder / place / "samples.png", 10, ["a", "b"])
        row = Row(
            key=str(number), trial=number, status="done", model="digits-sit", nfe=nfe,
            kind="searched", searched=True, solver=bundle.name, guidance=1.0, fid=fid,
            fid_by_samples={500: fid}, samples=500, features="digits-cnn", rmse=fid / 9,
            bundle=str(place / "solver.json"),
            params={"nfe": nfe, "grid": grid, "ridge": 10 ** draw.uniform(-6, -3)},
        )  # fmt: skip
        append_row(folder / "rows.jsonl", row)
        store.finish(row)
    store.close([])


def processor_seconds() -> float:
    """What the processes that this one started have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the seconds of a first and of a second report, which has its teacher already."""
    with TemporaryDirectory() as place:
        os.chdir(place)
        os.environ |= {"DSS_RAY_CACHE": f"{place}/cache"}
        folder = Path("runs/night")
        folder.mkdir(parents=True)
        make(folder)
        for what in ("first", "second"):
            began, spent = time.monotonic(), processor_seconds()
            command = [str(Path(sys.executable).with_name("dss-ray")), "report", "night"]
            subprocess.run(command, check=True, capture_output=True)
            took, spent = time.monotonic() - began, processor_seconds() - spent
            size = (folder / "report.html").stat().st_size / 1e6
            verdict = "ok" if took < LIMIT else "MISSED"
            print(
                f"{what} report: {took:.1f} s, limit {LIMIT:.0f}: {verdict}; "
                f"{spent:.1f} s of a processor, {size:.1f} MB"
            )


if __name__ == "__main__":
    main()
