"""The points of a search on the Frechet distance: damped steps on fresh samples, kept, restored."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.search.result import SearchSettings
from dss_ray.search.sampled_distance import Batch, SampledDistance
from dss_ray.solver.reference import require_finite
from dss_ray.solver.table import SolverTable

ITERATIONS, BATCH_SIZE = 8, 2000
EARLY = 2  # iterations on half batches
HELD_OUT = 2000  # samples that points are compared on, the first of the noise
DAMPING, LEAST_DAMPING, TRIES = 1e-2, 1e-3, 5  # relative to the largest curvature
PATIENCE = 3  # iterations without a better one


@dataclass(frozen=True, eq=False)
class Quadratic:
    """A distance near a point, as value + gradient . move + move . curvature move / 2."""

    value: float
    gradient: Tensor
    curvature: Tensor

    def move(self, damping: float) -> Tensor:
        """The move (P,) to the minimum, held by ``damping`` times the largest curvature."""
        curvatures, vectors = torch.linalg.eigh(self.curvature)
        held = curvatures.clamp(min=0) + damping * curvatures[-1]
        move: Tensor = -vectors @ (vectors.T @ self.gradient / held)
        return move

    def fall(self, move: Tensor) -> float:
        """By how much the distance falls after ``move``."""
        return -float(move @ self.gradient + move @ self.curvature @ move / 2)


class Descent:
    """The points of a search so far, and all that decides how it goes on.

    Args:
        distance: what is to fall.
        settings: ``iterations`` and ``batch_size`` count.
        start: the table to start from, to which the first point may only come near.
        guidance: its scale, or one per query.
        kept: what ``tensors`` gave, to go on from there.

    Attributes:
        before: the held-out distance of the start.
        path: after each iteration the held-out distance, and the point (P,).
    """

    def __init__(
        self,
        distance: SampledDistance,
        settings: SearchSettings,
        start: SolverTable,
        guidance: float | tuple[float, ...],
        kept: dict[str, Tensor] | None,
    ) -> None:
        self.distance, self.began = distance, time.perf_counter()
        self.most = settings.iterations or ITERATIONS
        self.size = settings.batch_size or BATCH_SIZE
        self.held_out = distance.batch(0, HELD_OUT)
        self.origin, self.path = distance.point(guidance), list[tuple[float, Tensor]]()
        self.earlier = 0, 0.0  # evaluations and network seconds before an interruption
        if kept:
            self.restore(kept)
            return
        self.damping, self.curvature = DAMPING, torch.empty(0)
        features = distance.features(start, guidance, self.held_out)
        self.before = float(distance.target.distance(features))

    @property
    def going(self) -> bool:
        """Whether iterations are left and the held-out distance has not stopped falling."""
        values = [value for value, _ in self.path]
        stopped = values and min(values[-PATIENCE:]) > min(values)
        return len(values) < self.most and not stopped

    def advance(self) -> None:
        """Take one step on fresh samples.

        Raises:
            DivergedError: if a feature or a derivative is NaN or infinite.
        """
        distance, iteration = self.distance, len(self.path)
        theta = self.path[-1][1] if self.path else self.origin
        part = 1 / max(1, iteration + 1 - EARLY)
        batch = self.fresh(iteration)
        features, value, gradient = distance.slope(theta, batch)
        if part == 1:  # shorter steps stay where the last curvature holds
            self.curvature = distance.curvature(theta, features, batch)
        require_finite("the Frechet search", gradient, self.curvature)
        near = Quadratic(value, gradient, self.curvature)
        theta, self.damping = step(distance, theta, batch, near, damping=self.damping, part=part)
        self.path.append((distance.value(theta, self.held_out), theta))

    def fresh(self, iteration: int) -> Batch:
        """The samples of an iteration, which no other has; the first few take half as many."""
        half, early = self.size // 2, min(iteration, EARLY)
        first = HELD_OUT + early * half + (iteration - early) * self.size
        return self.distance.batch(first, max(2, half if iteration < EARLY else self.size))

    @property
    def spent(self) -> tuple[int, float, float]:
        """Evaluations, processor seconds in the network and wall seconds so far."""
        evaluations, network_seconds = self.earlier
        evaluations += sum(meter.evaluations for meter in self.distance.meters)
        network_seconds += sum(meter.seconds for meter in self.distance.meters)
        return evaluations, network_seconds, time.perf_counter() - self.began

    def tensors(self) -> dict[str, Tensor]:
        """All that a resumed search needs."""
        state = *self.spent, self.before, self.damping
        values = [value for value, _ in self.path]
        return {
            "points": torch.stack([theta for _, theta in self.path]),
            "values": torch.tensor(values, dtype=torch.float64),
            "curvature": self.curvature,
            "state": torch.tensor(state, dtype=torch.float64),
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from ``tensors``."""
        evaluations, network, spent, self.before, self.damping = tensors["state"].tolist()
        self.path = list(zip(tensors["values"].tolist(), tensors["points"], strict=True))
        self.curvature, self.earlier = tensors["curvature"], (int(evaluations), network)
        self.began -= spent


def step(
    distance: SampledDistance,
    theta: Tensor,
    batch: Batch,
    near: Quadratic,
    *,
    damping: float,
    part: float,
) -> tuple[Tensor, float]:
    """The point after a part of a damped Gauss-Newton step on ``batch``, and the next damping.

    Where no damping shortens the distance, the point stays and the next batch decides.
    """
    for _ in range(TRIES):
        move = part * near.move(damping)
        gained = near.value - distance.value(theta + move, batch)
        if gained > 0:
            trusted = gained > near.fall(move) / 2
            return theta + move, max(damping / 4, LEAST_DAMPING) if trusted else damping
        damping *= 8
    return theta, damping
