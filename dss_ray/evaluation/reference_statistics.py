"""Reference statistics made of images, written and read."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dss_ray.errors import FileError, UsageError
from dss_ray.evaluation.images import decoded
from dss_ray.evaluation.layouts import Pair, read_stored
from dss_ray.evaluation.plan import CHUNK
from dss_ray.evaluation.reference import TEACHER, ReferenceStatistics
from dss_ray.evaluation.statistics import Gaussian, Moments, Statistics
from dss_ray.models.features import Extractor
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.reading import Reading, read

KEPT = 10_000  # vectors, as ADM's evaluator takes


def image_reading(images: Tensor, extractor: Extractor) -> Reading:
    """What the extractor sees in uint8 images (B, C, H, W), in one pass.

    Raises:
        UsageError: if the extractor cannot take images of this shape.
    """
    try:
        return read(extractor, images / 255)
    except RuntimeError as error:
        raise UsageError(
            f"{extractor.name} cannot read images of shape {tuple(images.shape[1:])} ({error}); "
            "choose another extractor or other images"
        ) from None


def reference_statistics(
    batches: Iterable[Tensor], extractor: Extractor, source: str
) -> ReferenceStatistics:
    """The statistics and some features of uint8 images in batches (B, C, H, W), in their order.

    Raises:
        UsageError: if there are fewer than two images.
    """
    total, generator = Statistics.empty(extractor.dim), torch.Generator().manual_seed(0)
    lots, vectors = torch.empty(0), torch.empty(0, extractor.dim)
    spatial: Statistics | None = None
    with torch.no_grad():
        for images in batches:
            reading = image_reading(images, extractor).cpu()
            features = reading.features
            total = total.merge(Statistics.of(features))
            if reading.spatial is not None:
                part = Statistics.of(reading.spatial)
                spatial = (spatial or Statistics.empty(part.dim)).merge(part)
            lots = torch.cat([lots, torch.rand(len(features), generator=generator)])
            kept = lots.argsort()[:KEPT].sort().values  # so each image has the same chance
            lots, vectors = lots[kept], torch.cat([vectors, features.float()])[kept]
    if total.n < 2:
        raise UsageError(f"reference statistics of {source}: need 2 images or more, got {total.n}")
    return ReferenceStatistics(
        total, extractor.name, extractor.fingerprint, source, vectors, spatial
    )


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
    """What a file holds, by name; ADM's names where it has them."""
    assert reference.statistics.n is not None
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
    if reference.spatial is not None:
        found["mu_s"] = reference.spatial.mean.numpy()
        found["sigma_s"] = reference.spatial.covariance.numpy()
    return found


def load_reference(path: Path) -> ReferenceStatistics:
    """The statistics in a file that ``save_reference`` wrote, or in a layout of others.

    ADM's, clean-fid's, EDM's and torch-fidelity's files are taken to be of Inception.

    Raises:
        FileError: if the file is missing, corrupt, or holds no statistics.
    """
    stored = read_stored(path)
    return ReferenceStatistics(
        statistics=gaussian(stored.pair, stored.n),
        features=stored.features,
        fingerprint=stored.fingerprint,
        source=stored.source,
        vectors=stored.vectors,
        spatial=None if stored.spatial is None else gaussian(stored.spatial, stored.n),
        images=stored.images,
        file=path,
    )


def gaussian(pair: Pair, n: int | None) -> Gaussian:
    """Mean and covariance of ``n`` vectors, or of an unknown number of them."""
    mean, covariance = pair
    return Moments(mean, covariance) if n is None else Statistics(n, mean, covariance * (n - 1))
