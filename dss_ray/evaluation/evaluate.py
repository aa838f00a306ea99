"""Evaluate a solver on a model: chunk by chunk, the same samples for every metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.errors import DivergedError, UsageError
from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.images import decoded
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.evaluation.reference_statistics import ReferenceStatistics, image_features
from dss_ray.evaluation.statistics import Statistics
from dss_ray.models.features import Extractor
from dss_ray.models.meter import Meter
from dss_ray.models.noise import start_states
from dss_ray.models.protocol import VelocityModel
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
    """

    index: int
    statistics: Statistics | None
    fingerprint: str | None
    squared_error: float
    elements: int
    samples: int
    evaluations: int
    network_seconds: float


@dataclass(frozen=True)
class EvaluationResult:
    """The figures of one solver on one model at one seed.

    Args:
        fid: Frechet distance of the features; None without reference statistics.
        features: what the distance carries: the extractor, and "to teacher" if it has no images.
        reference: what the distance is measured from, such as "digits" or "teacher".
        rmse: root mean square difference per element to the reference's end states; None where
            they were not given.
        samples: number of samples.
        evaluations: network calls per sample, summed over the samples.
        network_seconds: processor time inside the velocity, over all workers.
    """

    fid: float | None
    features: str | None
    reference: str | None
    rmse: float | None
    samples: int
    evaluations: int
    network_seconds: float


def evaluate_chunk(
    model: VelocityModel | Sequence[VelocityModel],
    table: SolverTable,
    plan: EvaluationPlan,
    index: int,
    *,
    extractor: Extractor | None = None,
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
        reference_end: (M, *sample_shape), end states of the converged reference on the first M
            samples of the chunk; the samples after those count for the features alone.

    Raises:
        DivergedError: if a sample holds NaN or infinity.
        UsageError: if the reference's states have another shape.
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
        return ChunkResult(
            index=index,
            statistics=state_statistics(ends, model, extractor) if extractor else None,
            fingerprint=extractor.fingerprint if extractor else None,
            squared_error=squared_error(ends, known),
            elements=known.numel(),
            samples=chunk.count,
            evaluations=sum(meter.evaluations for meter in meters),
            network_seconds=math.fsum(meter.seconds for meter in meters),
        )


def state_statistics(ends: Tensor, model: VelocityModel, extractor: Extractor) -> Statistics:
    """Feature statistics of the images that end states (B, *sample_shape) stand for."""
    return Statistics.of(image_features(decoded(model, ends), extractor))


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


def combine(
    chunks: Iterable[ChunkResult], reference: ReferenceStatistics | None = None
) -> EvaluationResult:
    """The figures of the first chunks of a plan, whatever order they come in.

    They are merged in chunk order, so that any number of workers gives the same bits; the chunks
    0 .. k - 1 of a plan give the figures of its first samples.

    Args:
        chunks: results of chunks 0 .. k - 1, each once.
        reference: what the features are compared with; None for rmse alone.

    Raises:
        UsageError: if a chunk is missing, comes twice, or lacks features of the reference's kind.
    """
    ordered = sorted(chunks, key=lambda chunk: chunk.index)
    if not ordered or [chunk.index for chunk in ordered] != list(range(len(ordered))):
        found = [chunk.index for chunk in ordered]
        raise UsageError(f"evaluation: expected the chunks 0, 1, ... each once, got {found}")
    elements = sum(chunk.elements for chunk in ordered)
    error = math.fsum(chunk.squared_error for chunk in ordered)
    return EvaluationResult(
        fid=None if reference is None else distance(ordered, reference),
        features=None if reference is None else reference.label,
        reference=None if reference is None else reference.source,
        rmse=math.sqrt(error / elements) if elements else None,
        samples=sum(chunk.samples for chunk in ordered),
        evaluations=sum(chunk.evaluations for chunk in ordered),
        network_seconds=math.fsum(chunk.network_seconds for chunk in ordered),
    )


def distance(chunks: list[ChunkResult], reference: ReferenceStatistics) -> float:
    """The Frechet distance of the chunks' features, merged in the order of the list."""
    total = Statistics.empty(reference.statistics.dim)
    for chunk in chunks:
        if chunk.statistics is None or chunk.fingerprint != reference.fingerprint:
            raise UsageError(
                f"evaluation: the reference statistics of {reference.source} need features of "
                f"{reference.features}; chunk {chunk.index} was evaluated with another extractor"
            )
        total = total.merge(chunk.statistics)
    return frechet_distance(total, reference.statistics)


def evaluate(
    model: VelocityModel | Sequence[VelocityModel],
    table: SolverTable,
    plan: EvaluationPlan,
    *,
    extractor: Extractor | None = None,
    reference: ReferenceStatistics | None = None,
    reference_end: Tensor | None = None,
) -> EvaluationResult:
    """All chunks of ``plan`` one after another; see ``evaluate_chunk`` and ``combine``.

    Here ``reference_end`` (M, *sample_shape) belongs to the first M samples of the whole plan.

    Raises:
        UsageError: if ``reference`` was taken with another extractor.
    """
    if reference is not None and extractor is not None:
        reference.check(extractor)
    chunks = []
    for chunk in plan:
        known = None if reference_end is None else reference_end[chunk.first :][: chunk.count]
        part = evaluate_chunk(
            model, table, plan, chunk.index, extractor=extractor, reference_end=known
        )
        chunks.append(part)
    return combine(chunks, reference)
