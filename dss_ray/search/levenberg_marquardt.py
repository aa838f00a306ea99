"""The iterates of damped Gauss-Newton on a problem: kept, restored, stopped on held-out samples."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.errors import DivergedError
from dss_ray.search.linearize import Linearizer, Plan
from dss_ray.search.memory import room, samples_that_fit
from dss_ray.search.problem import Problem, pieces
from dss_ray.search.result import FEW
from dss_ray.solver.table import SolverTable

DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-7, 1e3
LEAST_AT_FEW = 1e-2  # less would fit the few samples that happen to make most of the error
RAISED, LOWERED = 10.0, 0.1
PATIENCE, PROGRESS = 2, 0.99  # stop when two iterations have not lowered the loss by 1 %
LEAST_HARDEST, MOST_HARDEST = 16, 64  # samples in a Jacobian, and as many others
CUBED = 24_000  # such samples times the cube of the queries, with which a Jacobian's cost grows
FLAT = 1e-12  # curvatures below this fraction of the largest count as this


@dataclass(frozen=True, eq=False)
class Point:
    """An iterate.

    Args:
        coordinates: (P,).
        trained: (T,) float64, its loss on each sample for training.
        held_out: (M,) float64, on each sample held out.
    """

    coordinates: Tensor
    trained: Tensor
    held_out: Tensor

    @property
    def training(self) -> float:
        """The mean loss on the samples for training."""
        return float(self.trained.mean())

    @property
    def loss(self) -> float:
        """The mean loss on the samples held out."""
        return float(self.held_out.mean())

    def holds_against(self, other: Point) -> bool:
        """Whether, having less loss in training, it is not worse held out than ``other``.

        Worse is what exceeds one standard error of the difference, sample by sample: one sample in
        a hundred may carry most of a mean, and must not decide.
        """
        worse = self.held_out - other.held_out
        error = worse.std(correction=0) / len(worse) ** 0.5
        return bool(worse.mean() <= error)  # False where it is not finite


class Descent:
    """The iterates of a problem so far.

    Args:
        problem: what is minimised.
        start: the table to start from, to which the first coordinates may only come near.
        memory: MiB that it may take.
        kept: what ``tensors`` gave, to go on from there.

    Attributes:
        path: the points, the start first.
        going: whether a further step may help.

    Raises:
        DivergedError: if the loss at the start is NaN or infinite.
    """

    def __init__(
        self, problem: Problem, start: SolverTable, memory: int, kept: dict[str, Tensor] | None
    ) -> None:
        self.problem, self.began = problem, time.perf_counter()
        self.least = LEAST_AT_FEW if start.nfe <= FEW else LEAST_DAMPING
        self.hardest = max(LEAST_HARDEST, min(MOST_HARDEST, CUBED // start.nfe**3))
        self.linearizer = Linearizer(problem.velocity, problem.objective, problem.space)
        if kept:
            self.restore(kept)
            return

        def work(count: int) -> None:
            problem.losses(start, pieces(problem.reference, 0, count, count))

        self.plan = self.linearizer.plan(problem.reference, problem.trained, memory)
        allowed = room(memory, problem.reference.batch(0, 1).noise.device)
        # What each query leaves alive may keep a block of the network's from being used again.
        self.size = samples_that_fit(work, problem.trained, allowed // start.nfe)
        self.damping, self.going = max(DAMPING, self.least), True
        training, held_out = problem.training(self.size), problem.held_out(self.size)
        losses = problem.losses(start, training), problem.losses(start, held_out)
        if not all(bool(loss.isfinite().all()) for loss in losses):
            raise DivergedError(
                "gauss-newton met NaN or infinity at its start: check the model's output and its "
                "time range, or start from another table"
            )
        self.path = [Point(problem.space.coordinates, *losses)]

    @property
    def iteration(self) -> int:
        """The number of steps taken."""
        return len(self.path) - 1

    @property
    def seconds(self) -> float:
        """Wall seconds so far."""
        return time.perf_counter() - self.began

    def advance(self) -> None:
        """Take one step, or end where none lowers the loss.

        Raises:
            DivergedError: if the derivatives at the start are NaN or infinite.
        """
        here, problem = self.path[-1], self.problem
        chosen = problem.hardest(here.trained, self.hardest, self.plan.samples, self.iteration)
        basis, curvature, slope = self.linearizer(here.coordinates, chosen, self.plan.tangents)
        finite = bool(curvature.isfinite().all() and slope.isfinite().all())
        if not (finite or self.iteration):
            raise DivergedError(
                "gauss-newton met NaN or infinity in the model's derivatives at its start: start "
                "from another table, or search by least-squares"
            )
        self.going = finite and len(slope) > 0  # one consistent query leaves nothing to search
        while self.going:
            there = here.coordinates + basis @ damped_step(curvature, slope, self.damping)
            trained = problem.losses_at(there, problem.training(self.size))
            if trained.mean() < here.training:
                break
            self.damping *= RAISED
            self.going = self.damping <= MOST_DAMPING
        else:
            return
        held_out = problem.losses_at(there, problem.held_out(self.size))
        self.path.append(Point(there, trained, held_out))
        self.damping = max(self.damping * LOWERED, self.least)
        self.going = self.improving()

    def improving(self) -> bool:
        """Whether the last iterations still lowered the loss."""
        recent, earlier = self.path[-PATIENCE:], self.path[:-PATIENCE]
        if not earlier:
            return True
        lower = recent[-1].training < PROGRESS * earlier[-1].training
        return lower and self.best(self.path) is not self.best(earlier)

    @staticmethod
    def best(path: list[Point]) -> Point:
        """The last point that holds against the best before it."""
        best = path[0]
        for point in path[1:]:
            best = point if point.holds_against(best) else best
        return best

    def tensors(self) -> dict[str, Tensor]:
        """All that a resumed search needs."""
        velocity, plan = self.problem.velocity, self.plan
        state = self.damping, self.going, self.seconds, velocity.seconds, velocity.evaluations
        return {
            "coordinates": torch.stack([point.coordinates for point in self.path]),
            "trained": torch.stack([point.trained for point in self.path]),
            "held out": torch.stack([point.held_out for point in self.path]),
            "state": torch.tensor(state, dtype=torch.float64),
            "plan": torch.tensor([self.size, plan.samples, plan.tangents]),
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from ``tensors``."""
        velocity = self.problem.velocity
        losses = tensors["trained"], tensors["held out"]
        self.path = [Point(*one) for one in zip(tensors["coordinates"], *losses, strict=True)]
        self.damping, going, spent, velocity.seconds, evaluations = tensors["state"].tolist()
        self.going, velocity.evaluations = bool(going), int(evaluations)
        self.began -= spent
        self.size, *plan = tensors["plan"].tolist()
        self.plan = Plan(*plan)


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
