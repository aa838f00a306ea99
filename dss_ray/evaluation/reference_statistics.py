"""What samples are compared with: feature statistics that know their extractor and their source."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dss_ray.errors import FileError, UsageError
from dss_ray.evaluation.images import BROKEN, decoded
from dss_ray.evaluation.plan import CHUNK
from dss_ray.evaluation.statistics import Statistics
from dss_ray.models.features import Extractor
from dss_ray.models.protocol import VelocityModel

TEACHER = "teacher"  # the source of statistics of a model's own converged samples
REMEDY = "`dss-ray reference IMAGES --features F -o stats.npz` writes them"


@dataclass(frozen=True, eq=False)
class ReferenceStatistics:
    """Statistics to measure a distance from.

    Args:
        statistics: of the reference features.
        features: name of the extractor.
        fingerprint: hex digest of the extractor's weights.
        source: what the images are; ``TEACHER`` for a model's own converged samples.
    """

    statistics: Statistics
    features: str
    fingerprint: str
    source: str

    @property
    def label(self) -> str:
        """What a distance carries: the extractor, and "to teacher" where no images are compared."""
        return f"{self.features} to teacher" if self.source == TEACHER else self.features

    def check(self, extractor: Extractor) -> None:
        """Refuse an extractor other than the one that these statistics were taken with.

        Raises:
            UsageError: if name, weights or feature length differ.
        """
        if (self.features, self.fingerprint) != (extractor.name, extractor.fingerprint):
            raise UsageError(
                f"reference statistics of {self.source} were taken with {self.features} "
                f"({self.fingerprint[:8]}), not with {extractor.name} "
                f"({extractor.fingerprint[:8]}); {REMEDY}"
            )
        if self.statistics.dim != extractor.dim:
            raise UsageError(
                f"reference statistics of {self.source} have {self.statistics.dim} dimensions, "
                f"{extractor.name} has {extractor.dim}; {REMEDY}"
            )


def image_features(images: Tensor, extractor: Extractor) -> Tensor:
    """Features (B, D) of uint8 images (B, C, H, W).

    Raises:
        UsageError: if the extractor cannot take images of this shape.
    """
    try:
        features: Tensor = extractor(images / 255)
    except RuntimeError as error:
        raise UsageError(
            f"{extractor.name} cannot read images of shape {tuple(images.shape[1:])} ({error}); "
            "choose another extractor or other images"
        ) from None
    return features


def reference_statistics(
    batches: Iterable[Tensor], extractor: Extractor, source: str
) -> ReferenceStatistics:
    """The statistics of uint8 images in batches (B, C, H, W), merged in their order.

    Raises:
        UsageError: if there are fewer than two images.
    """
    total = Statistics.empty(extractor.dim)
    with torch.no_grad():
        for images in batches:
            total = total.merge(Statistics.of(image_features(images, extractor)))
    if total.n < 2:
        raise UsageError(f"reference statistics of {source}: need 2 images or more, got {total.n}")
    return ReferenceStatistics(total, extractor.name, extractor.fingerprint, source)


def teacher_statistics(
    model: VelocityModel, ends: Tensor, extractor: Extractor
) -> ReferenceStatistics:
    """What a model without reference images is compared with: its own converged samples.

    Args:
        model: decodes the states.
        ends: (n, *sample_shape), end states of the converged reference; take other noises than
            those of the plan, or the distance rewards equal noise.
        extractor: of the features.
    """
    batches = (decoded(model, part) for part in torch.split(ends, CHUNK))
    return reference_statistics(batches, extractor, TEACHER)


def save_reference(reference: ReferenceStatistics, path: Path) -> None:
    """Write an .npz with ``mu`` and ``sigma``, as ADM's and other FID tools read them, and more.

    Raises:
        FileError: if the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            np.savez(
                file,
                mu=reference.statistics.mean.numpy(),
                sigma=reference.statistics.covariance.numpy(),
                n=np.int64(reference.statistics.n),
                features=np.str_(reference.features),
                fingerprint=np.str_(reference.fingerprint),
                source=np.str_(reference.source),
            )
        draft.replace(path)
    except OSError as error:
        raise FileError(f"{path}: cannot write the statistics ({error.strerror})") from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def load_reference(path: Path) -> ReferenceStatistics:
    """The statistics that ``save_reference`` wrote.

    Raises:
        FileError: if the file is missing, corrupt or foreign.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            mean, sigma = (torch.from_numpy(file[name]) for name in ("mu", "sigma"))
            n = int(file["n"])
            texts = (str(file[name]) for name in ("features", "fingerprint", "source"))
            features, fingerprint, source = texts
    except (TypeError, AttributeError, *BROKEN) as error:
        raise FileError(f"{path}: no readable reference statistics ({error}); {REMEDY}") from None
    dim, dtypes = mean.numel(), {mean.dtype, sigma.dtype}
    if mean.shape != (dim,) or sigma.shape != (dim, dim) or dtypes != {torch.float64}:
        raise FileError(
            f"{path}: expected float64 mu (D,) and sigma (D, D), "
            f"got {mean.dtype} {tuple(mean.shape)} and {sigma.dtype} {tuple(sigma.shape)}; {REMEDY}"
        )
    if not torch.allclose(sigma, sigma.T) or (sigma.diagonal() < 0).any():
        raise FileError(f"{path}: sigma is no covariance (symmetric, not negative); {REMEDY}")
    if n < 2 or not (mean.isfinite().all() and sigma.isfinite().all()):
        raise FileError(f"{path}: holds NaN, infinity or fewer than two images; {REMEDY}")
    return ReferenceStatistics(Statistics(n, mean, sigma * (n - 1)), features, fingerprint, source)
