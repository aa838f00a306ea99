"""Precision and recall: which share of the samples looks real, and of the real is sampled.

Both describe a set of features by balls: around each member, as far as its k-th neighbour.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor, cat

from dss_ray.errors import UsageError

NEIGHBOURS = 3  # k, as in ADM's evaluator (arXiv 2105.05233)
ENTRIES = 2**22  # distances held at once: 32 MB


@dataclass(frozen=True)
class PrecisionRecall:
    """Two shares from 0 to 1.

    Args:
        precision: of the samples, those inside a ball of the reference.
        recall: of the reference, those inside a ball of the samples.
    """

    precision: float
    recall: float


def precision_recall(reference: Tensor, samples: Tensor) -> PrecisionRecall:
    """Improved precision and recall (arXiv 1904.06991, eqs. 1 and 2) in float64.

    Both fall or rise with the counts of the two sets: compare equal counts only.

    Args:
        reference: features (N, D) of real images.
        samples: features (M, D).

    Raises:
        UsageError: if a set has no more than ``NEIGHBOURS`` members.
    """
    reach, own = radii(reference), radii(samples)
    inside, reached = (torch.zeros(len(one), dtype=torch.bool) for one in (samples, reference))
    for rows in parts(samples):
        for columns in parts(reference):
            found = distances(samples[rows], reference[columns])
            inside[rows] |= (found <= reach[columns]).any(1)
            reached[columns] |= (found <= own[rows, None]).any(0)
    return PrecisionRecall(*(float(one.double().mean()) for one in (inside, reached)))


def radii(vectors: Tensor) -> Tensor:
    """The distance (B,) of each of ``vectors`` (B, D) to its k-th nearest other one."""
    if len(vectors) <= NEIGHBOURS:
        raise UsageError(
            f"precision and recall: need {NEIGHBOURS + 1} images and samples or more, "
            f"got {len(vectors)}"
        )
    nearest = torch.full((len(vectors), NEIGHBOURS + 1), torch.inf, dtype=torch.float64)
    for rows in parts(vectors):
        for columns in parts(vectors):
            if columns.start < rows.start:
                continue  # distances are symmetric
            found = distances(vectors[rows], vectors[columns])
            nearest[rows] = least(nearest[rows], found)
            if columns != rows:
                nearest[columns] = least(nearest[columns], found.T)
    return nearest[:, NEIGHBOURS]  # the first is the vector itself


def least(known: Tensor, more: Tensor) -> Tensor:
    """The least of each row of ``known`` (B, K) and ``more`` (B, N), K of them in their order."""
    return cat([known, more], 1).topk(known.shape[1], largest=False).values


def parts(vectors: Tensor) -> Iterator[slice]:
    """All rows in turn, so many that distances between two parts are ``ENTRIES`` at most."""
    size = isqrt(ENTRIES)
    return (slice(first, first + size) for first in range(0, len(vectors), size))


def distances(rows: Tensor, columns: Tensor) -> Tensor:
    """The Euclidean distances (R, C) of ``rows`` (R, D) and ``columns`` (C, D) in float64."""
    return torch.cdist(rows.double(), columns.double())
