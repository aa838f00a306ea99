"""What samples are compared with: feature statistics that know their extractor and their source."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.evaluation.layouts import REMEDY, UNKNOWN
from dss_ray.evaluation.statistics import Gaussian
from dss_ray.models.features import Extractor

TEACHER = "teacher"  # the source of statistics of a model's own converged samples


@dataclass(frozen=True, eq=False)
class ReferenceStatistics:
    """Statistics to measure a distance from.

    Args:
        statistics: of the reference features.
        features: name of the extractor.
        fingerprint: hex digest of the extractor's weights; empty where a file does not say.
        source: what the images are; ``TEACHER`` for a model's own converged samples.
        vectors: (M, D) float32, the features of at most 10,000 images drawn at random, in their
            order; None where a file has none.
        spatial: of the spatial features, for sFID; None without them.
        images: a file with images to take ``vectors`` from, as ADM's; None without one.
        file: where the statistics were read; None if they were made.
    """

    statistics: Gaussian
    features: str
    fingerprint: str
    source: str
    vectors: Tensor | None = None
    spatial: Gaussian | None = None
    images: Path | None = None
    file: Path | None = None

    @property
    def label(self) -> str:
        """What a distance carries: the extractor, and "to teacher" where no images are compared."""
        return f"{self.features} to teacher" if self.source == TEACHER else self.features

    @property
    def place(self) -> str:
        """How an error names them."""
        found = f"reference statistics of {self.source}"
        return f"{self.file}: {found}" if self.file else found

    def check(self, extractor: Extractor) -> None:
        """Refuse an extractor other than the one that these statistics were taken with.

        Raises:
            UsageError: if name, weights or feature length differ.
        """
        known = self.fingerprint in (UNKNOWN, extractor.fingerprint)
        if self.features != extractor.name or not known:
            weights = f" ({self.fingerprint[:8]})" if self.fingerprint else ""
            raise UsageError(
                f"{self.place} were taken with {self.features}{weights}, not with "
                f"{extractor.name} ({extractor.fingerprint[:8]}); {REMEDY}"
            )
        if self.statistics.dim != extractor.dim:
            raise UsageError(
                f"{self.place} have {self.statistics.dim} dimensions, "
                f"{extractor.name} has {extractor.dim}; {REMEDY}"
            )

    def bound(self, extractor: Extractor) -> "ReferenceStatistics":
        """These statistics as those of ``extractor``, whose weights a foreign file does not name.

        Raises:
            UsageError: as ``check``.
        """
        self.check(extractor)
        return replace(self, fingerprint=extractor.fingerprint)

    def require_vectors(self) -> Tensor:
        """The features themselves, which metrics of neighbours need.

        Raises:
            UsageError: if there are none.
        """
        if self.vectors is None:
            raise UsageError(
                f"{self.place} hold mean and covariance alone, but "
                f"precision and recall need the features themselves; {REMEDY}"
            )
        return self.vectors

    def require_spatial(self) -> Gaussian:
        """The statistics of the spatial features, which sFID needs.

        Raises:
            UsageError: if there are none.
        """
        if self.spatial is None:
            raise UsageError(
                f"{self.place} hold no spatial features (mu_s, sigma_s), which sFID compares; "
                f"{REMEDY} where the extractor has a convolution"
            )
        return self.spatial
