"""Gauss-Newton (Levenberg-Marquardt) on all numbers of a table together."""

from __future__ import annotations

import torch

from dss_ray.errors import UsageError
from dss_ray.models.meter import Meter
from dss_ray.search.levenberg_marquardt import Descent
from dss_ray.search.objective import Features, make_objective
from dss_ray.search.problem import PARTS, Problem
from dss_ray.search.result import FEW, Batches, Journal, Progress, SearchResult, SearchSettings
from dss_ray.search.space import make_space
from dss_ray.solver.table import SolverTable

STAGE = "gauss-newton"
MANY = 9  # queries; there a Jacobian has fewer samples and tells less
ITERATIONS_AT_FEW, ITERATIONS, ITERATIONS_AT_MANY = 3, 4, 5  # up to 6, 8 and more queries


@torch.no_grad()
def gauss_newton(
    velocity: Meter,
    reference: Batches,
    start: SolverTable,
    settings: SearchSettings,
    *,
    features: Features | None = None,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """The table that minimises the objective near ``start``, by damped Gauss-Newton steps.

    Of three quarters of the samples those of the greatest loss and as many others make the linear
    system. A step is taken only where it lowers the mean loss of all of them, else the damping
    rises (Levenberg 1944, Marquardt 1963). The last quarter is held out: the last table is returned
    that is no worse there than the best before it, beyond chance, be it the start, and the search
    stops when none improves. The Jacobian is taken in forward mode, so that no activations are
    kept; see ``dss_ray.search.linearize`` for models without it.

    Args:
        velocity: the metered model.
        reference: the teacher's trajectories.
        start: where to start from.
        settings: samples, space ("auto" is the whole one), objective, loss, penalty, iterations
            (3 up to six queries, 4 up to eight, else 5) and memory count.
        features: of the end states, for the objective of that name.
        journal: where the iterates are kept.
        progress: called with the iterations done and those in all.

    Raises:
        UsageError: if there are fewer than four samples, or the device has too little memory.
        DivergedError: if the loss at the start or its derivatives are NaN or infinite.
    """
    samples = settings.enough(start.nfe, STAGE)
    if samples < PARTS:
        raise UsageError(f"gauss-newton: expected at least {PARTS} samples, got {samples}")
    space = make_space(settings.space, start)
    objective = make_objective(settings.objective, settings.loss, settings.penalty, features)
    problem = Problem(velocity, reference, samples, space, objective)
    try:
        descent = descended(problem, start, settings, journal, progress)
    except torch.OutOfMemoryError:
        raise UsageError(
            f"memory: gauss-newton may take {settings.memory} MiB, more than the device has left; "
            "lower it"
        ) from None
    best = descent.best(descent.path)
    table = space.table(best.coordinates) if best is not descent.path[0] else start
    return SearchResult(
        table=table,
        history=[(number, point.loss) for number, point in enumerate(descent.path)],
        evaluations=velocity.evaluations,
        seconds=descent.seconds,
        network_seconds=velocity.seconds,
    )


def descended(
    problem: Problem,
    start: SolverTable,
    settings: SearchSettings,
    journal: Journal | None,
    progress: Progress | None,
) -> Descent:
    """The descent from ``start`` at its end, or from where the journal has it."""
    kept = journal.read(STAGE) if journal else None
    descent = Descent(problem, start, settings.memory, kept)
    usual = ITERATIONS if start.nfe < MANY else ITERATIONS_AT_MANY
    most = settings.iterations or (ITERATIONS_AT_FEW if start.nfe <= FEW else usual)
    while descent.going and descent.iteration < most:
        if progress:
            progress(descent.iteration, most)
        descent.advance()
        if journal:
            journal.write(STAGE, descent.tensors())
    return descent
