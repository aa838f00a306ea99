"""Search a table, and guidance scales, whose samples have the reference's feature statistics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.models.protocol import VelocityModel
from dss_ray.search.bures import FrechetTarget
from dss_ray.search.result import SearchResult, SearchSettings
from dss_ray.search.sampled_distance import Batch, Noise, SampledDistance
from dss_ray.search.space import make_space
from dss_ray.solver.reference import require_finite
from dss_ray.solver.table import SolverTable

Found = list[tuple[float, Tensor]]  # held-out distances and the points that have them

ITERATIONS, BATCH_SIZE = 8, 2000
EARLY = 2  # iterations on half batches
HELD_OUT = 2000  # samples that points are compared on, the first of the noise
DAMPING, LEAST_DAMPING, TRIES = 1e-2, 1e-3, 5  # relative to the largest curvature
PATIENCE = 3  # iterations without a better one
NEAR_ONE = 0.05  # scales as near to 1 are tried at 1, where a query costs half
TOLERATED = 1.01  # growth of the held-out distance for that


def frechet(
    model: VelocityModel,
    noise: Noise,
    target: FrechetTarget,
    start: SolverTable,
    settings: SearchSettings,
    *,
    guidance: float | tuple[float, ...] = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> SearchResult:
    """Gauss-Newton steps on the Frechet distance, each on fresh samples.

    After the first three the k-th step is 1/k of a whole one, so that the last point averages what
    all batches ask for (Robbins and Monro 1951) instead of following the noise of the last.

    Args:
        model: to be sampled, without guidance.
        noise: start states and labels of any samples: (first, count) -> x_0, label.
        target: features and reference statistics that steer; let others judge.
        start: the table to start from.
        settings: ``space`` ("whole" for "auto"), ``iterations``, ``batch_size`` (the first two
            take half) and ``guidance_rate``: above 0 the scales are searched as well.
        guidance: one scale or one per query.
        progress: called with the iterations done and those in all.

    Returns:
        What is best on held-out noise, the start included. The history has held-out distances.

    Raises:
        DivergedError: if a feature or a derivative is NaN or infinite.
        TableError: if ``start`` lies outside of the space.
    """
    began = time.perf_counter()
    space = make_space("whole" if settings.space == "auto" else settings.space, start)
    fixed = None if settings.guidance_rate else guidance
    distance = SampledDistance(model, noise, target, space, fixed)
    held_out = distance.batch(0, HELD_OUT)
    before = float(target.distance(distance.features(start, guidance, held_out)))
    found = descend(distance, distance.point(guidance), settings, held_out, progress)
    history = [(0, before), *enumerate((after for after, _ in found), 1)]
    after, theta = settled(distance, found, held_out)
    table, scales = distance.solver(theta) if after < before else (start, guidance)
    return SearchResult(
        table=table,
        history=history,
        evaluations=sum(meter.evaluations for meter in distance.meters),
        seconds=time.perf_counter() - began,
        network_seconds=sum(meter.seconds for meter in distance.meters),
        guidance=tuple(map(float, scales)) if isinstance(scales, list) else scales,
    )


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


def descend(
    distance: SampledDistance,
    theta: Tensor,
    settings: SearchSettings,
    held_out: Batch,
    progress: Callable[[int, int], None] | None,
) -> Found:
    """The points reached, until their held-out distances stop falling."""
    iterations = settings.iterations or ITERATIONS
    found, first, damping = Found(), HELD_OUT, DAMPING
    for iteration in range(iterations):
        if progress:
            progress(iteration, iterations)
        part = 1 / max(1, iteration + 1 - EARLY)
        size = (settings.batch_size or BATCH_SIZE) // (1 if iteration >= EARLY else 2)
        batch = distance.batch(first, max(2, size))
        first += size
        features, value, gradient = distance.slope(theta, batch)
        if part == 1:  # shorter steps stay where the last curvature holds
            curvature = distance.curvature(theta, features, batch)
        require_finite("the Frechet search", gradient, curvature)
        near = Quadratic(value, gradient, curvature)
        theta, damping = step(distance, theta, batch, near, damping=damping, part=part)
        found.append((distance.value(theta, held_out), theta))
        values = [value for value, _ in found]
        if min(values[-PATIENCE:]) > min(values):
            break
    return found


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


def settled(distance: SampledDistance, found: Found, held_out: Batch) -> tuple[float, Tensor]:
    """The best of the points, with scales near 1 at 1 where that costs little."""
    value, theta = min(found, key=lambda pair: pair[0])
    if distance.guidance is not None:
        return value, theta
    known = len(distance.space.coordinates)
    scales = theta[known:]
    near = torch.where((scales - 1).abs() < NEAR_ONE, torch.ones_like(scales), scales)
    snapped = torch.cat([theta[:known], near])
    reached = distance.value(snapped, held_out)
    return (reached, snapped) if reached <= TOLERATED * value else (value, theta)
