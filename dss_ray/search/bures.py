"""The Frechet distance between Gaussians as something to descend on: value, slope, curvature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dss_ray.errors import DivergedError

FLOOR = 1e-7  # relative eigenvalue under which a curvature, which grows beyond bounds, is cut off


@dataclass(frozen=True, eq=False)
class FrechetTarget:
    """What the features of end states should be distributed like.

    Args:
        features: of end states (B, *sample_shape) -> (B, D), differentiable.
        mean: (D,) float64, of the reference features.
        covariance: (D, D) float64.
    """

    features: Callable[[Tensor], Tensor]
    mean: Tensor
    covariance: Tensor

    @cached_property
    def root(self) -> Tensor:
        """The symmetric root (D, D) of the covariance."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
        return root

    def moments(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (D,), deviations from it (B, D) and covariance (D, D) of features (B, D).

        Raises:
            DivergedError: if one is NaN or infinite.
        """
        if not features.isfinite().all():
            raise DivergedError(
                "the Frechet search met NaN or infinity in the features: check the model, the "
                "extractor and the starting table"
            )
        mean = features.mean(0)
        deviations = features - mean
        return mean, deviations, deviations.T @ deviations / (len(features) - 1)

    def distance(self, features: Tensor) -> Tensor:
        """|m - m_r|^2 + tr(S + S_r - 2 (R S R)^(1/2)) with R = S_r^(1/2), of features (B, D).

        Equals the distance of FID (arXiv 1706.08500, eq. 6); float64 in, differentiable. Directions
        that are rounding noise, as with fewer samples than dimensions, have no root and no slope.

        Raises:
            DivergedError: if a feature is NaN or infinite.
        """
        mean, _, covariance = self.moments(features)
        values = torch.linalg.eigvalsh(self.root @ covariance @ self.root)
        kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
        traces = covariance.trace() + self.covariance.trace()
        shift = (mean - self.mean).square().sum()
        distance: Tensor = shift + traces - 2 * values[kept].sqrt().sum()
        return distance

    def curvature(self, features: Tensor, some: Tensor, slopes: Tensor) -> Tensor:
        """The generalised Gauss-Newton matrix (P, P) of the distance in P parameters.

        The second derivative in mean and covariance is exact (Daleckii and Krein); that of mean
        and covariance in the parameters is left out, which keeps the matrix positive semidefinite.

        Args:
            features: (B, D), at whose moments the distance is expanded.
            some: (b, D), features of a part of the samples.
            slopes: (b, D, P), their derivatives in the parameters.
        """
        mean, _, covariance = self.moments(features)
        moved_mean = slopes.mean(0)
        moved = torch.einsum("bd,bep->pde", some - mean, slopes - moved_mean) / (len(some) - 1)
        values, vectors = torch.linalg.eigh(self.root @ covariance @ self.root)
        roots = values.clamp(min=float(values[-1]) * FLOOR).sqrt()
        basis = self.root @ vectors
        moved = basis.T @ (moved + moved.mT) @ basis
        weight = 1 / (roots[:, None] * roots * (roots[:, None] + roots))
        bures = torch.einsum("pij,qij,ij->pq", moved, moved, weight)
        return 2 * moved_mean.T @ moved_mean + bures
