"""Mean and covariance of features, as a value that merges or as a file gives them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.errors import DivergedError, UsageError


@dataclass(frozen=True, eq=False)
class Statistics:
    """Count, mean and sum of squared deviations of feature vectors.

    Unlike raw sums of squares, these keep 13 digits when merged. Chunks merged in chunk order give
    the same bits, whoever computed them.

    Args:
        n: number of vectors.
        mean: (D,) float64.
        m2: (D, D) float64, the sum of outer products of the deviations from the mean.
    """

    n: int
    mean: Tensor
    m2: Tensor

    @classmethod
    def empty(cls, dim: int) -> Statistics:
        """The statistics of no vectors of length ``dim``: merging them changes no bit."""
        zero = torch.zeros(dim, dtype=torch.float64)
        return cls(0, zero, torch.outer(zero, zero))

    @classmethod
    def of(cls, features: Tensor) -> Statistics:
        """The statistics of ``features`` (B, D), taken in float64 on the CPU.

        Raises:
            DivergedError: if a feature is NaN or infinite.
        """
        features = features.detach().to("cpu", torch.float64)
        if not features.isfinite().all():
            raise DivergedError("statistics: the features hold NaN or infinity; check the images")
        mean = features.mean(0)
        deviations = features - mean
        return cls(len(features), mean, deviations.T @ deviations)

    @property
    def dim(self) -> int:
        """The length D of a feature vector."""
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance (D, D).

        Raises:
            UsageError: if there are fewer than two vectors.
        """
        if self.n < 2:
            raise UsageError(f"statistics: a covariance needs at least 2 samples, got {self.n}")
        return self.m2 / (self.n - 1)

    def merge(self, other: Statistics) -> Statistics:
        """The statistics of both sets together (Chan, Golub and LeVeque 1983).

        Raises:
            UsageError: if the feature lengths differ.
        """
        if self.dim != other.dim:
            raise UsageError(
                f"statistics: cannot merge features of length {self.dim} and {other.dim}; "
                "use one extractor"
            )
        n, delta = self.n + other.n, other.mean - self.mean
        between = torch.outer(delta, delta) * (self.n * other.n / n)
        return Statistics(n, self.mean + delta * (other.n / n), self.m2 + other.m2 + between)


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of a number of feature vectors that nobody wrote down.

    Args:
        mean: (D,) float64.
        covariance: (D, D) float64.
    """

    mean: Tensor
    covariance: Tensor

    @property
    def dim(self) -> int:
        """The length D of a feature vector."""
        return len(self.mean)

    @property
    def n(self) -> None:
        """The number of vectors is unknown."""
        return


Gaussian = Statistics | Moments
