"""Search a table, and guidance scales, whose samples have the reference's feature statistics."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from dss_ray.errors import DivergedError
from dss_ray.models.protocol import VelocityModel
from dss_ray.search.bures import FrechetTarget
from dss_ray.search.result import SearchResult, SearchSettings
from dss_ray.search.sampled_distance import Batch, Noise, SampledDistance
from dss_ray.search.space import make_space
from dss_ray.solver.table import SolverTable

Found = list[tuple[float, Tensor]]  # held-out distances and the points that have them

ITERATIONS, BATCH_SIZE = 6, 4000
SMALLEST, REPEATED = 4, 2  # the first batch is a fourth; every second iteration doubles it
HELD_OUT = 2000  # samples that points are compared on, the first of the noise
DAMPING, LEAST_DAMPING, TRIES = 1e-2, 1e-3, 5  # relative to the largest curvature
TAIL = 2  # points that are averaged
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
    """Gauss-Newton steps on the Frechet distance, each on fresh samples, more and more of them.

    Args:
        model: to be sampled, without guidance.
        noise: start states and labels of any samples: (first, count) -> x_0, label.
        target: features and reference statistics that steer; let others judge.
        start: the table to start from.
        settings: ``space`` ("whole" for "auto"), ``iterations``, ``batch_size`` (samples of the
            last iterations) and ``guidance_rate``: above 0 the scales are searched as well.
        guidance: one scale or one per query.
        progress: called with the iterations done and those in all.

    Returns:
        Of the start, the iterates and the mean of the last two what is best on held-out noise. The
        history holds the held-out distances.

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
    sizes = batch_sizes(settings.iterations or ITERATIONS, settings.batch_size or BATCH_SIZE)
    found = descend(distance, distance.point(guidance), sizes, held_out, progress)
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


def batch_sizes(iterations: int, largest: int) -> list[int]:
    """Samples of each iteration: fewer while steps are long, ``largest`` in the end."""
    parts = [max(1, SMALLEST >> (iteration // REPEATED)) for iteration in range(iterations)]
    return [max(2, largest // part) for part in parts]


def descend(
    distance: SampledDistance,
    theta: Tensor,
    sizes: list[int],
    held_out: Batch,
    progress: Callable[[int, int], None] | None,
) -> Found:
    """The points reached with batches of ``sizes``, until held-out distances stop falling."""
    found, first, damping = Found(), HELD_OUT, DAMPING
    for iteration, size in enumerate(sizes):
        if progress:
            progress(iteration, len(sizes))
        theta, damping = step(distance, theta, distance.batch(first, size), damping)
        found.append((distance.value(theta, held_out), theta))
        first += size
        values = [value for value, _ in found]
        if min(values[-PATIENCE:]) > min(values):
            break
    return found


def step(
    distance: SampledDistance, theta: Tensor, batch: Batch, damping: float
) -> tuple[Tensor, float]:
    """The point after a damped Gauss-Newton step on ``batch``, and the next damping.

    Where no damping shortens the distance, the point stays and the next batch decides.

    Raises:
        DivergedError: if a feature or a derivative is NaN or infinite.
    """
    features, value, gradient = distance.slope(theta, batch)
    matrix = distance.curvature(theta, features, batch)
    if not (gradient.isfinite().all() and matrix.isfinite().all()):
        raise DivergedError(
            "the Frechet search met NaN or infinity in a derivative: check that the model and the "
            "extractor are smooth, or start from another table"
        )
    curvatures, vectors = torch.linalg.eigh(matrix)
    slopes, curvatures = vectors.T @ gradient, curvatures.clamp(min=0)
    for _ in range(TRIES):
        moves = -slopes / (curvatures + damping * curvatures[-1])
        promised = -(slopes @ moves + curvatures @ moves.square() / 2)
        gained = value - distance.value(theta + vectors @ moves, batch)
        if gained > 0:
            relaxed = max(damping / 4, LEAST_DAMPING) if gained > promised / 2 else damping
            return theta + vectors @ moves, relaxed
        damping *= 8
    return theta, damping


def settled(distance: SampledDistance, found: Found, held_out: Batch) -> tuple[float, Tensor]:
    """The best of the points and the mean of the last ones, with scales near 1 at 1 if they may."""
    mean = torch.stack([theta for _, theta in found[-TAIL:]]).mean(0)
    value, theta = min([*found, (distance.value(mean, held_out), mean)], key=lambda pair: pair[0])
    if distance.guidance is not None:
        return value, theta
    known = len(distance.space.coordinates)
    scales = theta[known:]
    near = torch.where((scales - 1).abs() < NEAR_ONE, torch.ones_like(scales), scales)
    snapped = torch.cat([theta[:known], near])
    reached = distance.value(snapped, held_out)
    return (reached, snapped) if reached <= TOLERATED * value else (value, theta)
