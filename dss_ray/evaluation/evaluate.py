"""Evaluate a solver on a model: chunk by chunk, merged in chunk order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.evaluation.chunk import ChunkResult, evaluate_chunk
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.evaluation.reference import ReferenceStatistics
from dss_ray.evaluation.tally import EvaluationResult, Tally
from dss_ray.models.features import Extractor
from dss_ray.models.protocol import VelocityModel
from dss_ray.solver.table import SolverTable


def combine(
    chunks: Iterable[ChunkResult], reference: ReferenceStatistics | None = None
) -> EvaluationResult:
    """The figures of the first chunks of a plan, whatever order they come in; see ``Tally``.

    The chunks 0 .. k - 1 of a plan give the figures of its first samples.

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
    tally = Tally()
    for chunk in ordered:
        tally.add(chunk)
    return tally.result(reference)


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
    """All chunks of ``plan`` one after another; see ``evaluate_chunk`` and ``Tally``.

    Here ``reference_end`` (M, *sample_shape) belongs to the first M samples of the whole plan.

    Raises:
        UsageError: if ``reference`` was taken with another extractor.
    """
    if reference is not None and extractor is not None:
        reference = reference.bound(extractor)
    tally = Tally()
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
        tally.add(part)
    return tally.result(reference)
