"""Reference statistics that ship with the package; ``python -m dss_ray.evaluation.shipped``."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from dss_ray.errors import unknown
from dss_ray.evaluation.images import to_uint8
from dss_ray.evaluation.plan import CHUNK
from dss_ray.evaluation.reference import ReferenceStatistics
from dss_ray.evaluation.reference_statistics import (
    load_reference,
    reference_statistics,
    save_reference,
)
from dss_ray.models import checkpoint, digits, mnist
from dss_ray.models.features import load_extractor
from dss_ray.models.labelled import decode


def digit_images() -> Iterable[Tensor]:
    """All 1,797 digits in batches (B, 1, 8, 8) uint8, held-out ones included."""
    return torch.split(to_uint8(decode(digits.images("all").images)), CHUNK)


def mnist_images() -> Iterable[Tensor]:
    """All 5,000 MNIST digits in batches (B, 1, 28, 28) uint8, held-out ones included."""
    return torch.split(to_uint8(decode(mnist.images("all").images)), CHUNK)


SHIPPED = {  # extractor -> name and maker of its images
    "digits-cnn": ("digits", digit_images),
    "digits-mlp": ("digits", digit_images),
    "mnist-cnn": ("mnist", mnist_images),
    "mnist-mlp": ("mnist", mnist_images),
}


def make_shipped(features: str) -> ReferenceStatistics:
    """Compute the statistics of the images that belong to the extractor ``features``.

    Raises:
        UsageError: if the package has no images for it.
    """
    if features not in SHIPPED:
        raise unknown("feature extractor with shipped images", features, SHIPPED)
    source, images = SHIPPED[features]
    return reference_statistics(images(), load_extractor(features), source)


def shipped_reference(features: str) -> ReferenceStatistics:
    """Load the shipped statistics for a model whose ``features`` name their extractor.

    Raises:
        UsageError: if the package ships none.
        FileError: if the file is missing or corrupt.
    """
    if features not in SHIPPED:
        raise unknown("feature extractor with shipped statistics", features, SHIPPED)
    return load_reference(checkpoint.SHIPPED / f"{features}.npz")


def main(arguments: list[str] | None = None) -> int:
    """Compute all shipped statistics again and write them; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dss_ray.evaluation.shipped", description=__doc__
    )
    parser.add_argument(
        "--output", type=Path, default=checkpoint.SHIPPED, help="folder of the .npz files"
    )
    options = parser.parse_args(arguments)
    for features in SHIPPED:
        save_reference(make_shipped(features), options.output / f"{features}.npz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
