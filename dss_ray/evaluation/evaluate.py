"""Evaluate a solver on a model: chunk by chunk, merged in chunk order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.evaluation.chunk import ChunkResult, evaluate_chunk
from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.inception_score import inception_score
from dss_ray.evaluation.neighbours import PrecisionRecall, precision_recall
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.evaluation.reference import ReferenceStatistics
from dss_ray.evaluation.statistics import Statistics
from dss_ray.models.features import Extractor
from dss_ray.models.protocol import VelocityModel
from dss_ray.solver.table import SolverTable


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
        precision: share of the samples that lie among the reference images; None where the
            features were not kept.
        recall: share of the reference images that the samples reach; None likewise.
        sfid: Frechet distance of the spatial features; None where they were not asked for.
        inception_score: of the samples alone; None where the logits were not kept.
    """

    fid: float | None
    features: str | None
    reference: str | None
    rmse: float | None
    samples: int
    evaluations: int
    network_seconds: float
    precision: float | None = None
    recall: float | None = None
    sfid: float | None = None
    inception_score: float | None = None


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
        UsageError: if a chunk is missing, comes twice, or lacks features of the reference's kind,
            or if the reference lacks features or spatial statistics that the chunks have.
    """
    ordered = sorted(chunks, key=lambda chunk: chunk.index)
    if not ordered or [chunk.index for chunk in ordered] != list(range(len(ordered))):
        found = [chunk.index for chunk in ordered]
        raise UsageError(f"evaluation: expected the chunks 0, 1, ... each once, got {found}")
    elements = sum(chunk.elements for chunk in ordered)
    error = math.fsum(chunk.squared_error for chunk in ordered)
    near = None if reference is None else neighbourhood(ordered, reference)
    return EvaluationResult(
        fid=None if reference is None else distance(ordered, reference),
        features=None if reference is None else reference.label,
        reference=None if reference is None else reference.source,
        rmse=math.sqrt(error / elements) if elements else None,
        samples=sum(chunk.samples for chunk in ordered),
        evaluations=sum(chunk.evaluations for chunk in ordered),
        network_seconds=math.fsum(chunk.network_seconds for chunk in ordered),
        precision=None if near is None else near.precision,
        recall=None if near is None else near.recall,
        sfid=None if reference is None else spatial_distance(ordered, reference),
        inception_score=confidence(ordered),
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


def neighbourhood(
    chunks: list[ChunkResult], reference: ReferenceStatistics
) -> PrecisionRecall | None:
    """Precision and recall of the chunks' features in the order of the list, if all kept theirs."""
    kept = [chunk.features for chunk in chunks if chunk.features is not None]
    if len(kept) < len(chunks):
        return None
    return precision_recall(reference.require_vectors(), torch.cat(kept))


def spatial_distance(chunks: list[ChunkResult], reference: ReferenceStatistics) -> float | None:
    """The Frechet distance of the spatial features (sFID, arXiv 2103.03841), if all have them."""
    kept = [chunk.spatial for chunk in chunks if chunk.spatial is not None]
    if len(kept) < len(chunks):
        return None
    aim = reference.require_spatial()
    return frechet_distance(reduce(Statistics.merge, kept, Statistics.empty(aim.dim)), aim)


def confidence(chunks: list[ChunkResult]) -> float | None:
    """The Inception score of the logits in the order of the list, if all kept theirs."""
    kept = [chunk.logits for chunk in chunks if chunk.logits is not None]
    return inception_score(torch.cat(kept)) if len(kept) == len(chunks) else None


def evaluate(
    model: VelocityModel | Sequence[VelocityModel],
    table: SolverTable,
    plan: EvaluationPlan,
    *,
    extractor: Extractor | None = None,
    reference: ReferenceStatistics | None = None,
    keep_features: bool = False,
    keep_spatial: bool = False,
    keep_logits: bool = False,
    reference_end: Tensor | None = None,
) -> EvaluationResult:
    """All chunks of ``plan`` one after another; see ``evaluate_chunk`` and ``combine``.

    Here ``reference_end`` (M, *sample_shape) belongs to the first M samples of the whole plan.

    Raises:
        UsageError: if ``reference`` was taken with another extractor.
    """
    if reference is not None and extractor is not None:
        reference = reference.bound(extractor)
    chunks = []
    for chunk in plan:
        known = None if reference_end is None else reference_end[chunk.first :][: chunk.count]
        part = evaluate_chunk(
            model,
            table,
            plan,
            chunk.index,
            extractor=extractor,
            keep_features=keep_features,
            keep_spatial=keep_spatial,
            keep_logits=keep_logits,
            reference_end=known,
        )
        chunks.append(part)
    return combine(chunks, reference)
