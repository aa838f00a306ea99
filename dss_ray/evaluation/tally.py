"""The figures of an evaluation, gathered from chunks that come in any order."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.evaluation.chunk import ChunkResult
from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.inception_score import inception_score
from dss_ray.evaluation.neighbours import precision_recall
from dss_ray.evaluation.reference import ReferenceStatistics
from dss_ray.evaluation.statistics import Statistics


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


@dataclass(eq=False)
class Tally:
    """Chunks merged in chunk order, so that any number of workers gives the same bits.

    Each is merged as soon as those before it are, and then let go: with features of 2048 numbers
    the statistics of a chunk take 34 MB, and 50,000 samples have 200 chunks.

    Attributes:
        merged: how many chunks are in the figures, the first ones of the plan.
        waiting: those that came before their turn.
        whole: what each chunk so far had.
    """

    merged: int = 0
    waiting: dict[int, ChunkResult] = field(default_factory=dict)
    statistics: Statistics | None = None
    spatial: Statistics | None = None
    whole: frozenset[str] = frozenset({"statistics", "spatial", "features", "logits"})
    fingerprints: set[str | None] = field(default_factory=set)
    features: list[Tensor] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    elements: int = 0
    samples: int = 0
    evaluations: int = 0

    def add(self, chunk: ChunkResult) -> None:
        """Take a chunk; one that is here already changes nothing."""
        if chunk.index >= self.merged:
            self.waiting.setdefault(chunk.index, chunk)
        while self.merged in self.waiting:
            self.merge(self.waiting.pop(self.merged))

    def merge(self, chunk: ChunkResult) -> None:
        """Put the next chunk of the plan into the figures."""
        self.merged += 1
        self.statistics = merged(self.statistics, chunk.statistics)
        self.spatial = merged(self.spatial, chunk.spatial)
        self.whole = frozenset(kind for kind in self.whole if getattr(chunk, kind) is not None)
        self.fingerprints.add(chunk.fingerprint)
        self.features += [] if chunk.features is None else [chunk.features]
        self.logits += [] if chunk.logits is None else [chunk.logits]
        self.errors.append(chunk.squared_error)
        self.seconds.append(chunk.network_seconds)
        self.elements += chunk.elements
        self.samples += chunk.samples
        self.evaluations += chunk.evaluations

    def result(self, reference: ReferenceStatistics | None = None) -> EvaluationResult:
        """The figures of the samples so far.

        Args:
            reference: what the features are compared with; None for rmse alone.

        Raises:
            UsageError: if the chunks lack features of the reference's kind, or the reference lacks
                features or spatial statistics that the chunks have.
        """
        error = math.fsum(self.errors)
        near, scored = None, bool(self.logits) and "logits" in self.whole
        if reference is not None and self.features and "features" in self.whole:
            near = precision_recall(reference.require_vectors(), torch.cat(self.features))
        return EvaluationResult(
            fid=None if reference is None else self.distance(reference),
            features=None if reference is None else reference.label,
            reference=None if reference is None else reference.source,
            rmse=math.sqrt(error / self.elements) if self.elements else None,
            samples=self.samples,
            evaluations=self.evaluations,
            network_seconds=math.fsum(self.seconds),
            precision=None if near is None else near.precision,
            recall=None if near is None else near.recall,
            sfid=None if reference is None else self.spatial_distance(reference),
            inception_score=inception_score(torch.cat(self.logits)) if scored else None,
        )

    def distance(self, reference: ReferenceStatistics) -> float:
        """The Frechet distance of the features."""
        if "statistics" not in self.whole or self.fingerprints != {reference.fingerprint}:
            raise UsageError(
                f"evaluation: the reference statistics of {reference.source} need features of "
                f"{reference.features}; the chunks were evaluated with another extractor"
            )
        assert self.statistics
        return frechet_distance(self.statistics, reference.statistics)

    def spatial_distance(self, reference: ReferenceStatistics) -> float | None:
        """The Frechet distance of the spatial features (sFID, arXiv 2103.03841), if asked for."""
        if self.spatial is None or "spatial" not in self.whole:
            return None
        return frechet_distance(self.spatial, reference.require_spatial())


def merged(before: Statistics | None, more: Statistics | None) -> Statistics | None:
    """Both together."""
    if before is None or more is None:
        return before or more
    return before.merge(more)
