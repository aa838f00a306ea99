"""What a sweep would cost, before it runs: roughly, from what searches of the zoo took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import fmean

import torch

from dss_ray.config.space import Dimension, finite_points, points
from dss_ray.config.sweep import SweepSettings
from dss_ray.models.guidance import guide
from dss_ray.models.noise import start_states
from dss_ray.search.run import parse_chain
from dss_ray.tune.baselines import baseline_jobs
from dss_ray.tune.loaded import load

TIMED = 64  # samples of the call that is timed
MEGABYTES = 0.15  # on the disk, of a solver's bundle, pictures and records
# Network evaluations of a search without guidance, as of the README's table; those of gradient are
# its 400 batches of 64 at six queries.
ROUGHLY = {"least-squares": 35_000, "gauss-newton": 90_000, "gradient": 500_000, "paper": 6_000_000}


@dataclass(frozen=True)
class Estimate:
    """Rough figures of a sweep whose trials all go to their end.

    Args:
        points: of the space; None where it is infinite or huge.
        search_evaluations: network evaluations of a search; None where a method's are not known.
        sampling_evaluations: those of judging one solver.
        evaluations: of everything, finalists included; None likewise.
        megabytes: on the disk.
    """

    points: int | None
    search_evaluations: int | None
    sampling_evaluations: int
    evaluations: int | None
    megabytes: float


def estimate(settings: SweepSettings) -> Estimate:
    """The figures of a sweep."""
    space, own = {one.name: one for one in settings.space()}, settings.evaluation
    counts, calls = points(space["nfe"]), calls_per_query(space.get("guidance"))
    listed = len(finite_points(settings.space())) or None
    trials = min(settings.trials, listed or settings.trials) * len(settings.models)
    judged = trials + settings.baselines.keep * sum(1 for _ in baseline_jobs(settings))
    finalists = 2 * own.finalists * len(counts) * len(settings.models) * len(own.final_seeds)
    queries = fmean(counts) * calls
    sampling = queries * (judged * own.samples + finalists * own.final_samples)
    search = searching(space.get("method"))
    return Estimate(
        points=listed,
        search_evaluations=None if search is None else round(calls * search),
        sampling_evaluations=round(queries * own.samples),
        evaluations=None if search is None else round(sampling + trials * calls * search),
        megabytes=MEGABYTES * judged,
    )


def calls_per_query(guidance: Dimension | None) -> float:
    """Network calls of a query, on average: guidance costs two."""
    return 1.0 if guidance is None else fmean(1 + (scale != 1) for scale in points(guidance))


def searching(method: Dimension | None) -> float | None:
    """Network evaluations of a search without guidance, on average over the methods."""
    chains = method.choices if method else ("least-squares+gauss-newton",)
    stages = [parse_chain(str(chain)) for chain in chains]
    if any(stage not in ROUGHLY for chain in stages for stage in chain):
        return None
    return fmean(sum(ROUGHLY[stage] for stage in chain) for chain in stages)


def seconds_per_evaluation(settings: SweepSettings) -> float | None:
    """What a network evaluation of one sample takes here; None if trials need a GPU and none is."""
    device = settings.resources.device
    if device == "cuda" and not torch.cuda.is_available():
        return None
    return fmean(timed(name, device) for name in settings.models)


def timed(name: str, device: str) -> float:
    """Seconds of one evaluation of a model, in a batch, the first call left out."""
    guided = guide(load(name, device), 1.0)
    noise, label = start_states(guided, guided.t_min, "search", 0, range(TIMED))
    with torch.no_grad():
        for _ in range(2):
            began = time.perf_counter()
            float(guided(noise, torch.tensor(0.5), label).sum())  # waits for the device
    return (time.perf_counter() - began) / TIMED
