"""Labelled grey images as states of a model, and their fixed split."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dss_ray.errors import require_known

NUM_CLASSES = 10  # the digits
SPLIT_SEED = 0
PARTS = ("all", "training", "held-out")


class Labelled(NamedTuple):
    """States (B, 1, H, W) float32 in [-1, 1] and their labels (B,) int64."""

    images: Tensor
    labels: Tensor


def held_out(labels: Tensor, per_class: int) -> Tensor:
    """True for so many members of each class, drawn with a fixed seed; (len(labels),) bool."""
    classes = labels.numpy()
    generator = np.random.Generator(np.random.Philox(SPLIT_SEED))
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(NUM_CLASSES):
        indices = np.flatnonzero(classes == digit)
        order = generator.random(len(indices)).argsort()
        mask[indices[order[:per_class]]] = True
    return mask


def part_of(data: Labelled, part: str, per_class: int, name: str) -> Labelled:
    """The ``part`` of ``data``, so many of each class being held out.

    Raises:
        UsageError: if the part is unknown.
    """
    require_known(f"part of the {name}", part, PARTS)
    if part == "all":
        return data
    mask = held_out(data.labels, per_class)
    chosen = mask if part == "held-out" else ~mask
    return Labelled(data.images[chosen], data.labels[chosen])


def decode(states: Tensor) -> Tensor:
    """States in [-1, 1] as images in [0, 1], clamped."""
    return ((states + 1) / 2).clamp(0, 1)
