"""The methods by name, and one stage of a chain: told its progress, kept in a journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dss_ray.models.guidance import GuidedModel
from dss_ray.models.meter import Meter
from dss_ray.search import gradient as descent
from dss_ray.search import paper as recipe
from dss_ray.search.gauss_newton import gauss_newton
from dss_ray.search.least_squares import least_squares
from dss_ray.search.objective import Features
from dss_ray.search.precision import in_precision
from dss_ray.search.result import (
    Batch,
    Batches,
    Journal,
    Progress,
    SearchResult,
    SearchSettings,
)
from dss_ray.solver.table import FIELDS, SolverTable

METHODS = ("least-squares", "gauss-newton", "gradient", "frechet", "paper")
DONE = "done"


@dataclass(frozen=True)
class StageJournal:
    """The part of a journal that belongs to the stage of that number."""

    journal: Journal
    number: int

    def read(self, stage: str) -> dict[str, Tensor] | None:
        """The last state, or None."""
        return self.journal.read(f"{self.number} {stage}")

    def write(self, stage: str, tensors: dict[str, Tensor]) -> None:
        """Keep a state."""
        self.journal.write(f"{self.number} {stage}", tensors)


@dataclass(frozen=True)
class Told:
    """A source of trajectories that tells how far a stage has come each time it is asked."""

    source: Batches
    progress: Progress | None
    iterations: int

    def batch(self, index: int, size: int) -> Batch:
        """The source's batch."""
        if self.progress:
            self.progress(index, self.iterations)
        return self.source.batch(index, size)


def metered(model: GuidedModel, settings: SearchSettings) -> Meter:
    """A fresh meter on a guided model in the precision of the settings."""
    return Meter(in_precision(model, settings.precision), model.evaluations_per_query)


def run_stage(
    stage: str,
    model: GuidedModel,
    source: Batches,
    start: SolverTable,
    settings: SearchSettings,
    *,
    features: Features | None = None,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Run one method from ``start``; ``frechet`` has its own function."""
    velocity = metered(model, settings)
    told = partial(Told, source, progress)
    match stage:
        case "least-squares":
            return least_squares(velocity, source, start, settings)
        case "gauss-newton":
            return gauss_newton(
                velocity,
                source,
                start,
                settings,
                features=features,
                journal=journal,
                progress=progress,
            )
        case "gradient":
            batches = told(settings.iterations or descent.ITERATIONS)
            return descent.gradient(
                velocity, batches, start, settings, features=features, journal=journal
            )
        case _:
            batches = told(recipe.ITERATIONS)
            return recipe.paper(velocity, batches, start, settings, journal=journal)


def once(journal: Journal | None, work: Callable[[], SearchResult]) -> SearchResult:
    """The result of ``work``, from the journal where it was done before."""
    kept = journal.read(DONE) if journal else None
    if kept:
        return restored(kept)
    result = work()
    if journal:
        journal.write(DONE, stored(result))
    return result


def stored(result: SearchResult) -> dict[str, Tensor]:
    """A result as tensors."""
    scales: Any = [] if result.guidance is None else result.guidance
    counts = [result.evaluations, result.seconds, result.network_seconds, result.table.free]
    return {name: getattr(result.table, name) for name in FIELDS} | {
        "history": torch.tensor(result.history, dtype=torch.float64).reshape(-1, 2),
        "counts": torch.tensor(counts, dtype=torch.float64),
        "guidance": torch.tensor(scales, dtype=torch.float64),
    }


def restored(tensors: dict[str, Tensor]) -> SearchResult:
    """The result that ``stored`` made tensors of."""
    evaluations, seconds, network_seconds, free = tensors["counts"].tolist()
    scales: Any = tensors["guidance"].tolist()
    return SearchResult(
        table=SolverTable(**{name: tensors[name] for name in FIELDS}, free=bool(free)),
        history=[(int(number), loss) for number, loss in tensors["history"].tolist()],
        evaluations=int(evaluations),
        seconds=seconds,
        network_seconds=network_seconds,
        guidance=(tuple(scales) or None) if isinstance(scales, list) else scales,
    )
