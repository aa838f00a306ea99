"""Gauss-Newton (Levenberg-Marquardt) on all numbers of a table together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.errors import DivergedError, TableError, UsageError
from dss_ray.models.meter import Meter
from dss_ray.search.linearize import Linearizer
from dss_ray.search.objective import Features, Objective, make_objective
from dss_ray.search.result import Batch, Batches, Journal, Progress, SearchResult, SearchSettings
from dss_ray.search.space import WHOLE, Space, make_space
from dss_ray.solver.sampling import steps
from dss_ray.solver.table import SolverTable

STAGE = "gauss-newton"
WHOLE_UP_TO = 6  # queries; more numbers than 192 samples can fix were no better held out at 10
ITERATIONS = 5
PARTS = 4  # the last of so many parts of the samples is held out and decides when to stop
DAMPING, LEAST_DAMPING, RAISED, LOWERED, TRIES = 1e-3, 1e-7, 10.0, 0.1, 6
PATIENCE, PROGRESS = 2, 0.99  # stop when two iterations have not lowered the held-out loss by 1 %
FLAT = 1e-12  # curvatures below this fraction of the largest count as this


@dataclass(frozen=True, eq=False)
class Problem:
    """What is minimised, over which samples.

    Args:
        velocity: the metered model.
        reference: the samples, of which the first ``PARTS * part`` count.
        part: number of samples in a part.
        space: of tables.
        objective: of the states.
    """

    velocity: Meter
    reference: Batches
    part: int
    space: Space
    objective: Objective

    def training(self, size: int) -> Iterator[Batch]:
        """All parts but the last, in batches of ``size``, which divides a part."""
        count = self.part // size
        return (self.reference.batch(i, size) for i in range((PARTS - 1) * count))

    def held_out(self, size: int) -> Iterator[Batch]:
        """The last part."""
        count = self.part // size
        return (self.reference.batch(i, size) for i in range((PARTS - 1) * count, PARTS * count))

    def loss(self, coordinates: Tensor, batches: Iterator[Batch]) -> float:
        """The objective's mean; infinite where the table is invalid or the samples diverge."""
        try:
            table = self.space.table(coordinates)
        except TableError:
            return float("inf")
        values = []
        for batch in batches:
            path = steps(self.velocity, table, batch.noise, batch.label)
            values.append(self.objective([state for _, state in path], batch, table).double())
        mean = torch.stack(values).mean()
        return float(mean) if mean.isfinite() else float("inf")


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

    Three quarters of the samples make the linear system; a step is taken only where it lowers
    their loss, else the damping rises (Levenberg 1944, Marquardt 1963). The last quarter is held
    out: the table with the least loss there is returned, the start included, and the search stops
    when it no longer falls. The Jacobian is taken in forward mode, so that no activations are
    kept; see ``dss_ray.search.linearize`` for models without it.

    Args:
        velocity: the metered model.
        reference: the teacher's trajectories.
        start: where to start from.
        settings: samples, space, objective, loss, penalty, iterations (5) and memory count.
        features: of the end states, for the objective of that name.
        journal: where the iterates are kept.
        progress: called with the iterations done and those in all.

    Raises:
        UsageError: if there are fewer than four samples.
        DivergedError: if the loss at the start is NaN or infinite.
    """
    if settings.samples < PARTS:
        raise UsageError(f"gauss-newton: expected at least {PARTS} samples, got {settings.samples}")
    began = time.perf_counter()
    space = make_space(chosen_space(settings.space, start), start)
    objective = make_objective(settings.objective, settings.loss, settings.penalty, features)
    problem = Problem(velocity, reference, settings.samples // PARTS, space, objective)
    descent = Descent(problem, settings.memory)
    if journal:
        descent.restore(journal.read(STAGE))
    most = settings.iterations or ITERATIONS
    while descent.going and descent.iteration < most:
        if progress:
            progress(descent.iteration, most)
        descent.advance()
        if journal:
            journal.write(STAGE, descent.tensors())
    best = min(descent.path, key=lambda point: point.held_out)
    table = space.table(best.coordinates) if best is not descent.path[0] else start
    return SearchResult(
        table=table,
        history=[(number, point.held_out) for number, point in enumerate(descent.path)],
        evaluations=velocity.evaluations,
        seconds=time.perf_counter() - began,
        network_seconds=velocity.seconds,
    )


def chosen_space(name: str, start: SolverTable) -> str:
    """The space that "auto" means: the whole one for few queries and around free tables."""
    if name != "auto":
        return name
    return WHOLE if start.free or start.nfe <= WHOLE_UP_TO else "velocity"


@dataclass(frozen=True, eq=False)
class Point:
    """An iterate (P,) and its losses."""

    coordinates: Tensor
    training: float
    held_out: float


class Descent:
    """The iterates of a problem so far.

    Attributes:
        path: the points, the start first.
        going: whether a further step may help.
    """

    def __init__(self, problem: Problem, memory: int) -> None:
        self.problem = problem
        self.linearizer = Linearizer(
            problem.velocity,
            problem.objective,
            problem.space,
            problem.reference,
            most=problem.part,
            budget=memory,
        )
        self.damping, self.going = DAMPING, True
        self.path = [self.point(problem.space.coordinates)]
        if self.path[0].training == float("inf"):
            raise DivergedError(
                "gauss-newton met NaN or infinity at its start: check the model's output and its "
                "time range, or start from another table"
            )

    @property
    def iteration(self) -> int:
        """The number of steps taken."""
        return len(self.path) - 1

    def point(self, coordinates: Tensor, training: float | None = None) -> Point:
        """A point with its losses."""
        size = self.problem.part
        if training is None:
            training = self.problem.loss(coordinates, self.problem.training(size))
        return Point(
            coordinates,
            training,
            self.problem.loss(coordinates, self.problem.held_out(size)),
        )

    def advance(self) -> None:
        """Take one step, or end where none lowers the loss."""
        here, size = self.path[-1], self.problem.part
        basis, curvature, slope = self.linearizer(
            here.coordinates, self.problem.training(self.linearizer.size)
        )
        for _ in range(TRIES):
            step = damped_step(curvature, slope, self.damping)
            there = here.coordinates + basis @ step
            loss = self.problem.loss(there, self.problem.training(size))
            if loss < here.training:
                self.damping = max(self.damping * LOWERED, LEAST_DAMPING)
                self.path.append(self.point(there, loss))
                self.going = self.improving()
                return
            self.damping *= RAISED
        self.going = False

    def improving(self) -> bool:
        """Whether the last iterations still lowered the held-out loss."""
        losses = [point.held_out for point in self.path]
        recent, earlier = losses[-PATIENCE:], losses[:-PATIENCE]
        return not earlier or min(recent) < PROGRESS * min(earlier)

    def tensors(self) -> dict[str, Tensor]:
        """All that a resumed search needs."""
        numbers = [[point.training, point.held_out] for point in self.path]
        state = [self.damping, float(self.going), float(self.problem.velocity.evaluations)]
        return {
            "coordinates": torch.stack([point.coordinates for point in self.path]),
            "losses": torch.tensor(numbers, dtype=torch.float64),
            "state": torch.tensor(state, dtype=torch.float64),
        }

    def restore(self, tensors: dict[str, Tensor] | None) -> None:
        """Go on from ``tensors``."""
        if tensors is None:
            return
        rows = zip(tensors["coordinates"], tensors["losses"].tolist(), strict=True)
        self.path = [Point(coordinates, *losses) for coordinates, losses in rows]
        self.damping, going, evaluations = tensors["state"].tolist()
        self.going, self.problem.velocity.evaluations = bool(going), int(evaluations)


def damped_step(curvature: Tensor, slope: Tensor, damping: float) -> Tensor:
    """The step (K,) that minimises the quadratic model with ``damping`` times its diagonal added.

    Scaled to a unit diagonal the system is positive definite whatever its rank.
    """
    diagonal = curvature.diagonal()
    scale = diagonal.clamp(min=FLAT * float(diagonal.max()) or FLAT).rsqrt()
    scaled = scale[:, None] * curvature * scale
    identity = torch.eye(len(slope), dtype=slope.dtype)
    factor = torch.linalg.cholesky(scaled + damping * identity)
    return -scale * torch.cholesky_solve((scale * slope)[:, None], factor)[:, 0]
