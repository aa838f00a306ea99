"""Evaluate a solver on one chunk of a plan: the same samples for every metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.errors import DivergedError, UsageError
from dss_ray.evaluation.images import decoded
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.evaluation.reference_statistics import image_reading
from dss_ray.evaluation.statistics import Statistics
from dss_ray.models.features import Extractor
from dss_ray.models.meter import Meter
from dss_ray.models.noise import start_states
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.reading import Reading
from dss_ray.solver.sampling import per_query, sample
from dss_ray.solver.table import SolverTable


@dataclass(frozen=True, eq=False)
class ChunkResult:
    """What one chunk adds to the figures.

    Args:
        index: of the chunk in its plan.
        statistics: of the features; None without an extractor.
        fingerprint: of the extractor; None without one.
        squared_error: summed over all elements that have a reference.
        elements: how many those are.
        samples: drawn in this chunk.
        evaluations: network calls per sample, summed over the samples.
        network_seconds: processor time of this thread inside the velocity.
        features: (samples, D) where they were to be kept, else None.
        spatial: of the spatial features where they were asked for, else None.
        logits: (samples, K) where they were to be kept, else None.
    """

    index: int
    statistics: Statistics | None
    fingerprint: str | None
    squared_error: float
    elements: int
    samples: int
    evaluations: int
    network_seconds: float
    features: Tensor | None = None
    spatial: Statistics | None = None
    logits: Tensor | None = None


def evaluate_chunk(
    model: VelocityModel | Sequence[VelocityModel],
    table: SolverTable,
    plan: EvaluationPlan,
    index: int,
    *,
    extractor: Extractor | None = None,
    keep_features: bool = False,
    keep_spatial: bool = False,
    keep_logits: bool = False,
    reference_end: Tensor | None = None,
) -> ChunkResult:
    """Sample chunk ``index`` of ``plan`` once, for all metrics.

    Args:
        model: the velocity to step through, guided or not, or one for each query; its
            ``evaluations_per_query`` (1 where absent) says what a call costs, its ``decode``
            (where present) makes images.
        table: the solver.
        plan: which samples.
        index: of the chunk.
        extractor: of the features; None for rmse alone.
        keep_features: whether the features themselves are wanted, for precision and recall.
        keep_spatial: whether statistics of spatial features are wanted, for sFID.
        keep_logits: whether logits are wanted, for the Inception score.
        reference_end: (M, *sample_shape), end states of the converged reference on the first M
            samples of the chunk; the samples after those count for the features alone.

    Raises:
        DivergedError: if a sample holds NaN or infinity.
        UsageError: if the reference's states have another shape, or the extractor lacks what is
            wanted.
    """
    chunk, models = plan[index], per_query(model, table.nfe)
    meters = [Meter(one, getattr(one, "evaluations_per_query", 1)) for one in models]
    model = models[0]  # for what all have in common
    with torch.no_grad():
        samples = range(chunk.first, chunk.first + chunk.count)
        first = float(table.knots[0])
        noise, label = start_states(model, first, plan.domain, plan.seed, samples)
        ends = sample(meters, table, noise, label)
        check_finite(ends, model, table, chunk.first)
        known = ends[:0] if reference_end is None else reference_end
        seen = None if extractor is None else state_reading(ends, model, extractor)
        features = None if seen is None else seen.features
        return ChunkResult(
            index=index,
            statistics=None if features is None else Statistics.of(features),
            fingerprint=extractor.fingerprint if extractor else None,
            squared_error=squared_error(ends, known),
            elements=known.numel(),
            samples=chunk.count,
            evaluations=sum(meter.evaluations for meter in meters),
            network_seconds=math.fsum(meter.seconds for meter in meters),
            features=features if keep_features else None,
            spatial=Statistics.of(seen.require_spatial()) if seen and keep_spatial else None,
            logits=seen.require_logits() if seen and keep_logits else None,
        )


def state_reading(ends: Tensor, model: VelocityModel, extractor: Extractor) -> Reading:
    """What is seen in the images that end states (B, *sample_shape) stand for, on the CPU."""
    return image_reading(decoded(model, ends), extractor).cpu()


def check_finite(ends: Tensor, model: VelocityModel, table: SolverTable, first: int) -> None:
    """Refuse samples with NaN or infinity."""
    broken = (~ends.isfinite()).flatten(1).any(1)
    if broken.any():
        raise DivergedError(
            f"evaluation: {int(broken.sum())} of {len(ends)} samples of {model.name} in "
            f"{table.nfe} steps hold NaN or infinity, the first is sample "
            f"{first + int(broken.int().argmax())}; the solver diverges"
        )


def squared_error(ends: Tensor, known: Tensor) -> float:
    """The squared difference, summed in float64, of the samples with known reference states."""
    if known.shape[1:] != ends.shape[1:]:
        raise UsageError(
            f"evaluation: expected reference end states of shape {tuple(ends.shape[1:])}, "
            f"got {tuple(known.shape[1:])}"
        )
    return float((ends[: len(known)].double() - known.double()).square().sum())
