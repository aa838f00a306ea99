"""What samples are compared with: feature statistics that know their extractor and their source."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
KEPT = 10_000  # vectors, as ADM's evaluator takes
REMEDY = "`dss-ray reference IMAGES --features F -o stats.npz` writes them"


@dataclass(frozen=True, eq=False)
class ReferenceStatistics:
    """Statistics to measure a distance from.

    Args:
        statistics: of the reference features.
        features: name of the extractor.
        fingerprint: hex digest of the extractor's weights.
        source: what the images are; ``TEACHER`` for a model's own converged samples.
        vectors: (M, D) float32, the features of at most ``KEPT`` images drawn at random, in their
            order; None where a file has none.
    """

    statistics: Statistics
    features: str
    fingerprint: str
    source: str
    vectors: Tensor | None = None

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

    def require_vectors(self) -> Tensor:
        """The features themselves, which metrics of neighbours need.

        Raises:
            UsageError: if there are none.
        """
        if self.vectors is None:
            raise UsageError(
                f"reference statistics of {self.source} hold mean and covariance alone, but "
                f"precision and recall need the features themselves; {REMEDY}"
            )
        return self.vectors


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
    """The statistics and some features of uint8 images in batches (B, C, H, W), in their order.

    Raises:
        UsageError: if there are fewer than two images.
    """
    total, generator = Statistics.empty(extractor.dim), torch.Generator().manual_seed(0)
    lots, vectors = torch.empty(0), torch.empty(0, extractor.dim)
    with torch.no_grad():
        for images in batches:
            features = image_features(images, extractor).cpu()
            total = total.merge(Statistics.of(features))
            lots = torch.cat([lots, torch.rand(len(features), generator=generator)])
            kept = lots.argsort()[:KEPT].sort().values  # so each image has the same chance
            lots, vectors = lots[kept], torch.cat([vectors, features.float()])[kept]
    if total.n < 2:
        raise UsageError(f"reference statistics of {source}: need 2 images or more, got {total.n}")
    return ReferenceStatistics(total, extractor.name, extractor.fingerprint, source, vectors)


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
            np.savez(file, allow_pickle=False, **arrays(reference))
        draft.replace(path)
    except OSError as error:
        raise FileError(f"{path}: cannot write the statistics ({error.strerror})") from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def arrays(reference: ReferenceStatistics) -> dict[str, Any]:
    """What a file holds, by name."""
    found = {
        "mu": reference.statistics.mean.numpy(),
        "sigma": reference.statistics.covariance.numpy(),
        "n": np.int64(reference.statistics.n),
        "features": np.str_(reference.features),
        "fingerprint": np.str_(reference.fingerprint),
        "source": np.str_(reference.source),
    }
    if reference.vectors is not None:
        found["vectors"] = reference.vectors.numpy()
    return found


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
            vectors = torch.from_numpy(file["vectors"]) if "vectors" in file else None
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
    if vectors is not None and not (
        vectors.dtype == torch.float32
        and vectors.shape[1:] == (dim,)
        and len(vectors) <= n
        and vectors.isfinite().all()
    ):
        raise FileError(f"{path}: vectors are no finite float32 features (M, {dim}); {REMEDY}")
    statistics = Statistics(n, mean, sigma * (n - 1))
    return ReferenceStatistics(statistics, features, fingerprint, source, vectors)
