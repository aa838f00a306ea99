"""Precision and recall: which share of the samples looks real, and of the real is sampled.

Both describe a set of features by balls: around each member, as far as its k-th neighbour.
"""

from collections.abc import Iterator
from dataclasses import dataclass

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
    reference, samples = reference.double(), samples.double()
    reach, own = radii(reference), radii(samples)
    inside, reached = 0, torch.zeros(len(reference), dtype=torch.bool)
    for rows, distances in blocks(samples, reference):
        inside += int((distances <= reach).any(1).sum())
        reached |= (distances <= own[rows, None]).any(0)
    return PrecisionRecall(inside / len(samples), float(reached.double().mean()))


def radii(vectors: Tensor) -> Tensor:
    """The distance (B,) of each of ``vectors`` (B, D) to its k-th nearest other one."""
    if len(vectors) <= NEIGHBOURS:
        raise UsageError(
            f"precision and recall: need {NEIGHBOURS + 1} images and samples or more, "
            f"got {len(vectors)}"
        )
    nearest = NEIGHBOURS + 1  # the first is the vector itself
    return cat([distances.kthvalue(nearest).values for _, distances in blocks(vectors, vectors)])


def blocks(rows: Tensor, columns: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The distances of some ``rows`` to all ``columns``, for all rows in turn."""
    size = max(1, ENTRIES // len(columns))
    for first in range(0, len(rows), size):
        chosen = slice(first, first + size)
        yield chosen, torch.cdist(rows[chosen], columns)
