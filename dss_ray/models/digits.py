"""scikit-learn's 1,797 handwritten digits as states of a model, split once and for all."""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dss_ray.errors import unknown

NUM_CLASSES = 10
SHAPE = (1, 8, 8)
GREYS = 16  # the data set's values are the integers 0 .. 16
HELD_OUT_PER_CLASS = 30
SPLIT_SEED = 0
PARTS = ("all", "training", "held-out")


class Digits(NamedTuple):
    """States (B, 1, 8, 8) float32 in [-1, 1] and their labels (B,) int64."""

    images: Tensor
    labels: Tensor


@cache
def load_all() -> Digits:
    """All 1,797 digits in the order of ``sklearn.datasets.load_digits``."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.from_numpy(data.images).float().unsqueeze(1) * (2 / GREYS) - 1
    return Digits(images, torch.from_numpy(data.target).long())


@cache
def held_out_mask() -> Tensor:
    """True for 30 digits of each class, drawn with a fixed seed; (1797,) bool."""
    labels = load_all().labels.numpy()
    generator = np.random.Generator(np.random.Philox(SPLIT_SEED))
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(NUM_CLASSES):
        indices = np.flatnonzero(labels == digit)
        order = generator.random(len(indices)).argsort()
        mask[indices[order[:HELD_OUT_PER_CLASS]]] = True
    return mask


def images(part: str = "all") -> Digits:
    """The digits of a part of the data: ``all`` 1,797, ``training`` 1,497 or ``held-out`` 300.

    Raises:
        UsageError: if the part is unknown.
    """
    digits = load_all()
    if part == "all":
        return digits
    if part not in PARTS:
        raise unknown("part of the digits", part, PARTS)
    mask = held_out_mask() if part == "held-out" else ~held_out_mask()
    return Digits(digits.images[mask], digits.labels[mask])


def decode(states: Tensor) -> Tensor:
    """States in [-1, 1] as images (B, 1, 8, 8) in [0, 1], clamped."""
    return ((states + 1) / 2).clamp(0, 1)
