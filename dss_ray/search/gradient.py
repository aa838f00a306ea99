"""Gradient search: differentiate the loop and descend on the distance to the teacher."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from dss_ray.models.meter import Meter
from dss_ray.search.descent import Descent, descend
from dss_ray.search.lion import Lion
from dss_ray.search.objective import Features, make_objective
from dss_ray.search.problem import Problem, pieces
from dss_ray.search.result import Batches, Journal, SearchResult, SearchSettings
from dss_ray.search.space import AUTO, WHOLE, make_space
from dss_ray.solver.table import SolverTable

ITERATIONS, BATCH_SIZE, LEARNING_RATE = 400, 64, 1e-3
SPACE = "velocity"
CHECKED = 8  # samples at once whose end is compared with their beginning
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "lion": Lion,
}


def gradient(
    velocity: Meter,
    reference: Batches,
    start: SolverTable,
    settings: SearchSettings,
    *,
    features: Features | None = None,
    journal: Journal | None = None,
) -> SearchResult:
    """Adam or Lion on the coordinates of a space around ``start``, on a falling rate.

    The space "auto" is the whole one around a free table, else one of consistent tables. A batch
    larger than the samples there are holds them all. Where the first batch ends farther away than
    it began, as at a rate far too high, ``start`` is returned.

    Raises:
        UsageError: if a name of the settings is unknown or features are missing.
        TableError: if ``start`` lies outside of the space.
        DivergedError: if the loss, its gradient or the table becomes NaN or infinite.
    """
    named = {AUTO: WHOLE if start.free else SPACE}.get(settings.space, settings.space)
    rate = settings.learning_rate or LEARNING_RATE
    objective = make_objective(settings.objective, settings.loss, settings.penalty, features)
    descent = Descent(
        stage="gradient",
        objective=objective,
        optimizer=partial(OPTIMIZERS[settings.optimizer], lr=rate),
        iterations=settings.iterations or ITERATIONS,
        batch_size=settings.batch_size or BATCH_SIZE,
        falling=True,
        memory=settings.memory,
        clip=settings.clip,
        ema=settings.ema,
        scaled=settings.precision == "float16",
    )
    space = make_space(named, start)
    found = descend(velocity, reference, space, descent, journal)
    first = reference.batch(0, descent.batch_size)
    problem = Problem(velocity, reference, len(first.noise), space, objective)
    with torch.no_grad():
        checked = pieces(reference, 0, problem.samples, CHECKED)
        reached = float(problem.losses(found.table, checked).mean())
    better = reached <= found.history[0][1]
    return replace(found, table=found.table if better else start, evaluations=velocity.evaluations)
