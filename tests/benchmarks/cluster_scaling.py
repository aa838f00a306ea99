"""How a sweep and an evaluation spread over simulated nodes of 8 GPUs each.

    python tests/benchmarks/cluster_scaling.py [--nodes 1,2,4,8] [--trials 256] [--seconds 20]

The nodes are real Ray nodes on this machine that claim GPUs; workers sleep instead of computing and
import no torch. All of the driver is real: study, searcher, scheduler, records, merging.

* A worker's start is left out: its clock begins with its first piece of work. ``efficiency`` is the
  share of the workers' time from then to the last piece's end that they slept.
* ``gap`` is the time between a piece of work and the next on the same worker.
* ``driver`` is the driver's processor time per piece. One driver that is busy all the time keeps
  ``seconds / driver`` GPUs at work: that many saturate it.
"""

import argparse
import os
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import ray
from ray.cluster_utils import Cluster
from ray.tune import Callback, Trainable
from rich.console import Console
from rich.table import Table

from dss_ray.config.sweep import Resources, SweepSettings
from dss_ray.evaluation.plan import CHUNK
from dss_ray.tune import searcher, sharded, sweep, trainable
from dss_ray.tune.cluster import join
from dss_ray.tune.job import Job
from dss_ray.tune.work import run_job

GPUS, SAMPLES = 8, 50_000
WORK = "work"  # key of a result: worker, begin and end
Piece = tuple[str, float, float]


def settings(trials: int) -> SweepSettings:
    """A cheap sweep whose trials ask for a GPU."""
    return SweepSettings(
        name="scaling",
        models=("digits-sit",),
        sampler="random",
        trials=trials - 1,  # beside one of baselines
        resources=Resources(cpus=1, gpus=1),
        evaluation={"samples": 64, "final_samples": 64},  # type: ignore[arg-type]
        baselines={"methods": ["ab2"], "grids": ["uniform"], "samples": 8, "keep": 1},  # type: ignore[arg-type]
        search={
            "nfe": 3,
            "method": "least-squares",
            "grid": "uniform",
            "samples": 16,
            "ridge": {"range": [1e-6, 1e-2], "log": True},
        },
    )


def outcome(own: SweepSettings) -> str:
    """What a real trial reports."""
    values = {"nfe": 3, "method": "least-squares", "grid": "uniform", "samples": 16, "ridge": 1e-4}
    job = Job("searched", own.models[0], values, own.evaluation, own.baselines)
    (found,) = run_job(job)
    return found.model_dump_json()


def sleeper(seconds: float, report: str) -> type[Trainable]:
    """A trainable that sleeps and reports."""

    class Sleeper(Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            pass

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

        def step(self) -> dict[str, Any]:
            began = time.time()
            time.sleep(seconds)
            piece = str(os.getpid()), began, time.time()
            return {"outcome": report, "rung": 1, "distance": 1.0, "done": True, WORK: piece}

    return Sleeper


def run_trials(address: str, trials: int, seconds: float) -> tuple[list[Piece], float]:
    """The pieces of work of a whole sweep, and the driver's processor seconds."""
    own, pieces = settings(trials), list[Piece]()
    trainable.JobTrainable = sleeper(seconds, outcome(own))  # type: ignore[misc]
    sweep.finalists = lambda *_: []  # they would need the GPUs

    class Watching(searcher.Delivery):
        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
        ) -> None:
            pieces.append(result.pop(WORK))
            super().on_trial_result(iteration, trials, trial, result)

    assert issubclass(Watching, Callback)
    real, searcher.Delivery = searcher.Delivery, Watching  # type: ignore[misc]
    before = time.process_time()
    sweep.run_sweep(own, address=address)
    searcher.Delivery = real  # type: ignore[misc]
    return pieces, time.process_time() - before


def run_chunks(address: str, seconds: float) -> tuple[list[Piece], float]:
    """The same of the evaluation of one solver on 50,000 samples."""

    def sleep(shard: Any, indices: range) -> list[SimpleNamespace]:
        found = []
        for index in indices:
            began = time.time()
            time.sleep(seconds)
            piece = str(os.getpid()), began, time.time()
            found.append(SimpleNamespace(index=index, samples=shard.chunk, work=piece))
        return found

    class Pieces(list[Piece]):
        waiting = ()
        merged = 0

        def add(self, chunk: Any) -> None:
            self.append(chunk.work)
            self.merged += 1

    sharded.run_chunks, sharded.Tally = sleep, Pieces  # type: ignore[assignment, misc]
    join(address)
    before = time.process_time()
    shard: Any = SimpleNamespace(plan=range(SAMPLES // CHUNK), chunk=CHUNK)
    try:
        ((_, pieces),) = sharded.spread([shard], Resources(cpus=1, gpus=1))
    finally:
        ray.shutdown()
    return list(pieces), time.process_time() - before  # type: ignore[arg-type]


def figures(pieces: list[Piece], driver: float, seconds: float) -> list[str]:
    """A row's cells: workers, wall seconds, efficiency, gap, driver, saturation."""
    workers = defaultdict(list)
    for worker, began, ended in pieces:
        workers[worker].append((began, ended))
    last = max(ended for _, _, ended in pieces)
    available = sum(last - min(began for began, _ in own) for own in workers.values())
    gaps = [
        after[0] - before[1] for own in workers.values() for before, after in pairwise(sorted(own))
    ]
    slept, each = sum(ended - began for _, began, ended in pieces), driver / len(pieces)
    first = min(began for _, began, _ in pieces)
    return [
        str(len(pieces)), str(len(workers)), f"{last - first:.0f}", f"{slept / available:.1%}",
        f"{median(gaps):.3f}", f"{each:.4f}", f"{seconds / each:,.0f}",
    ]  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", default="1,2,4,8")
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    table = Table("nodes", "work", "pieces", "workers", "wall s", "efficiency", "gap s", "driver s",
                  "GPUs at saturation")  # fmt: skip
    for count in map(int, options.nodes.split(",")):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        for _ in range(count):
            cluster.add_node(num_cpus=GPUS, num_gpus=GPUS)
        cluster.wait_for_nodes()
        with tempfile.TemporaryDirectory() as folder:
            here = Path.cwd()
            os.chdir(folder)
            found = run_trials(cluster.address, options.trials, options.seconds)
            table.add_row(str(count), "trials", *figures(*found, options.seconds))
            found = run_chunks(cluster.address, options.seconds)
            table.add_row(str(count), "chunks", *figures(*found, options.seconds))
            os.chdir(here)
        cluster.shutdown()
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
