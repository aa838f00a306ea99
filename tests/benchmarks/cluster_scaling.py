"""How a sweep and an evaluation spread over simulated nodes of 8 GPUs each.

    python tests/benchmarks/cluster_scaling.py [--nodes 1,2,4,8] [--trials 256]
                                               [--seconds 20] [--chunk-seconds 5]

The nodes are real Ray nodes on this machine that claim GPUs; workers sleep instead of computing and
import no torch. All of the driver is real: study, searcher, scheduler, records, merging.

* ``start s`` is how long the workers take to start, which the two cores of a small machine make
  long; work begins when all are there. ``efficiency`` is the share of the workers' time from then
  to the last piece's end that they slept.
* ``gap`` is the time between a piece of work and the next on the same worker.
* ``driver`` is the driver's processor time per piece. One driver that is busy all the time keeps
  ``seconds / driver`` GPUs at work: that many saturate it.
"""

import argparse
import json
import os
import random
import tempfile
import threading
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, Self

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
EVALUATIONS = 4  # at once, as finalists are
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


def gather(place: Path, workers: int) -> None:
    """On a worker: wait until there are all of them."""
    own = place / str(os.getpid())
    if own.exists():
        return
    own.touch()
    while len(list(place.iterdir())) < workers:
        time.sleep(0.5)


def sleeper(seconds: float, report: str, place: Path, workers: int) -> type[Trainable]:
    """A trainable that sleeps and reports."""

    class Sleeper(Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            gather(place, workers)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

        def step(self) -> dict[str, Any]:
            began = time.time()
            time.sleep(seconds)
            piece = str(os.getpid()), began, time.time()
            found = json.loads(report)
            found["results"][0]["row"]["fid"] = 1 + random.random()
            return {
                "outcome": json.dumps(found),
                "rung": 1,
                "distance": 1.0,
                "done": True,
                WORK: piece,
            }

    return Sleeper


def run_trials(address: str, trials: int, seconds: float, workers: int) -> list[Piece]:
    """The pieces of work of a whole sweep."""
    own, pieces, place = settings(trials), list[Piece](), Path(tempfile.mkdtemp(dir=Path.cwd()))
    report = outcome(own)
    key = json.loads(report)["results"][0]["row"]["key"]
    trainable.JobTrainable = sleeper(seconds, report, place, workers)  # type: ignore[misc]
    sweep.finalists = lambda *_: []  # they would need the GPUs

    class Watching(searcher.Delivery):
        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
        ) -> None:
            pieces.append(result.pop(WORK))
            kind, model, values = (trial.config[name] for name in ("kind", "model", "values"))
            job = Job(kind, model, values, own.evaluation, own.baselines)
            result["outcome"] = result["outcome"].replace(key, job.key)  # it was the same sleep
            super().on_trial_result(iteration, trials, trial, result)

    assert issubclass(Watching, Callback)
    real, searcher.Delivery = searcher.Delivery, Watching  # type: ignore[misc]
    sweep.run_sweep(own, address=address)
    searcher.Delivery = real  # type: ignore[misc]
    return pieces


def run_chunks(address: str, seconds: float, workers: int) -> list[Piece]:
    """The same of evaluations on 50,000 samples each."""
    place = Path(tempfile.mkdtemp(dir=Path.cwd()))

    def sleep(shard: Any, indices: range) -> list[SimpleNamespace]:
        gather(place, workers)
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
    shard: Any = SimpleNamespace(plan=range(SAMPLES // CHUNK), chunk=CHUNK)
    try:
        found = list(sharded.spread([shard] * EVALUATIONS, Resources(cpus=1, gpus=1)))
    finally:
        ray.shutdown()
    return [piece for _, tally in found for piece in tally]  # type: ignore[union-attr]


class Clock(threading.Thread):
    """Takes down the time and this process's processor time, twice a second while it is open."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.done, self.times = threading.Event(), [(time.time(), time.process_time())]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()

    def run(self) -> None:
        while not self.done.wait(0.5):
            self.times.append((time.time(), time.process_time()))

    def busy(self, first: float, last: float) -> float:
        """Processor seconds between two times."""
        then = [spent for when, spent in self.times if first <= when <= last]
        return then[-1] - then[0]


def figures(pieces: list[Piece], clock: Clock, seconds: float) -> list[str]:
    """A row's cells: pieces, workers, seconds to start, wall seconds, efficiency, gap, driver,
    saturation."""
    workers = defaultdict(list)
    for worker, began, ended in pieces:
        workers[worker].append((began, ended))
    first, last = min(began for _, began, _ in pieces), max(ended for _, _, ended in pieces)
    gaps = [
        after[0] - before[1] for own in workers.values() for before, after in pairwise(sorted(own))
    ]
    slept = sum(ended - began for _, began, ended in pieces)
    each = clock.busy(first, last) / len(pieces)
    return [
        str(len(pieces)), str(len(workers)), f"{first - clock.times[0][0]:.0f}",
        f"{last - first:.0f}", f"{slept / (last - first) / len(workers):.1%}",
        f"{median(gaps):.3f}", f"{each:.4f}", f"{seconds / each:,.0f}",
    ]  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", default="1,2,4,8")
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=20.0, help="of a trial")
    parser.add_argument("--chunk-seconds", type=float, default=5.0)
    options = parser.parse_args()
    table = Table("nodes", "work", "pieces", "workers", "start s", "wall s", "efficiency", "gap s",
                  "driver s", "GPUs at saturation")  # fmt: skip
    for count in map(int, options.nodes.split(",")):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        for _ in range(count):
            cluster.add_node(num_cpus=GPUS, num_gpus=GPUS)
        cluster.wait_for_nodes()
        with tempfile.TemporaryDirectory() as folder:
            here = Path.cwd()
            os.chdir(folder)
            with Clock() as clock:
                found = run_trials(cluster.address, options.trials, options.seconds, count * GPUS)
            table.add_row(str(count), "trials", *figures(found, clock, options.seconds))
            with Clock() as clock:
                found = run_chunks(cluster.address, options.chunk_seconds, count * GPUS)
            table.add_row(str(count), "chunks", *figures(found, clock, options.chunk_seconds))
            os.chdir(here)
        cluster.shutdown()
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
