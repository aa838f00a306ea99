"""The Frechet distance between two Gaussians."""

import torch
from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.evaluation.statistics import Gaussian


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) in float64 (Dowson and Landau 1982; FID, arXiv
    1706.08500, eq. 6).

    With S = F F^T the last trace is the nuclear norm of F1^T F2, so the result is symmetric and
    needs no root of a singular matrix when there are fewer samples than dimensions.

    Raises:
        UsageError: if the feature lengths differ, or a side has fewer than two samples.
    """
    if first.dim != second.dim:
        raise UsageError(
            f"Frechet distance: features of length {first.dim} and {second.dim} cannot be "
            "compared; take both from one extractor"
        )
    s1, s2 = first.covariance, second.covariance
    cross = torch.linalg.svdvals(factor(s1).T @ factor(s2)).sum()
    means = (first.mean - second.mean).square().sum()
    return max(0.0, float(means + s1.trace() + s2.trace() - 2 * cross))


def factor(covariance: Tensor) -> Tensor:
    """F (D, rank) with F F^T = covariance, without the directions that are rounding noise.

    Their roots, about 1e-8 of the largest, would add up to an error of that size.
    """
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    root: Tensor = vectors[:, kept] * values[kept].sqrt()
    return root
