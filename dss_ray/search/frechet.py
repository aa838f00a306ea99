"""Search a table, and guidance scales, whose samples have the reference's feature statistics."""

from __future__ import annotations

import torch
from torch import Tensor

from dss_ray.models.protocol import VelocityModel
from dss_ray.search.bures import FrechetTarget
from dss_ray.search.frechet_descent import Descent
from dss_ray.search.result import Journal, Progress, SearchResult, SearchSettings
from dss_ray.search.sampled_distance import Noise, SampledDistance
from dss_ray.search.space import make_space
from dss_ray.solver.table import SolverTable

STAGE = "frechet"
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
    journal: Journal | None = None,
    progress: Progress | None = None,
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
            take half), ``precision`` and ``guidance_rate``: above 0 the scales are searched too.
        guidance: one scale or one per query.
        journal: where the points are kept; with it the same call goes on, bit for bit.
        progress: called with the iterations done and those in all.

    Returns:
        What is best on held-out noise, the start included. The history has held-out distances.

    Raises:
        DivergedError: if a feature or a derivative is NaN or infinite.
        TableError: if ``start`` lies outside of the space.
    """
    space = make_space(settings.space, start)
    fixed = None if settings.guidance_rate else guidance
    distance = SampledDistance(model, noise, target, space, fixed, settings.precision)
    kept = journal.read(STAGE) if journal else None
    descent = Descent(distance, settings, start, guidance, kept)
    while descent.going:
        if progress:
            progress(len(descent.path), descent.most)
        descent.advance()
        if journal:
            journal.write(STAGE, descent.tensors())
    after, theta = settled(descent)
    table, scales = distance.solver(theta) if after < descent.before else (start, guidance)
    evaluations, network_seconds, seconds = descent.spent
    return SearchResult(
        table=table,
        history=[(0, descent.before), *enumerate((value for value, _ in descent.path), 1)],
        evaluations=evaluations,
        seconds=seconds,
        network_seconds=network_seconds,
        guidance=one_if_equal(scales) if isinstance(scales, list) else scales,
    )


def one_if_equal(scales: list[Tensor]) -> float | tuple[float, ...]:
    """The scale of all queries, or each one's where they differ."""
    values = tuple(map(float, scales))
    return values[0] if len(set(values)) == 1 else values


def settled(descent: Descent) -> tuple[float, Tensor]:
    """The best of the points, with scales near 1 at 1 where that costs little."""
    distance = descent.distance
    value, theta = min(descent.path, key=lambda pair: pair[0])
    if distance.guidance is not None:
        return value, theta
    known = len(distance.space.coordinates)
    scales = theta[known:]
    near = torch.where((scales - 1).abs() < NEAR_ONE, torch.ones_like(scales), scales)
    snapped = torch.cat([theta[:known], near])
    reached = distance.value(snapped, descent.held_out)
    return (reached, snapped) if reached <= TOLERATED * value else (value, theta)
