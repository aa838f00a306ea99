"""scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, split once and for all."""

from functools import cache

import torch

from dss_ray.models.labelled import Labelled, part_of

SHAPE = (1, 8, 8)
GREYS = 16  # the data set's values are the integers 0 .. 16
HELD_OUT_PER_CLASS = 30


@cache
def load_all() -> Labelled:
    """All 1,797 digits in the order of ``sklearn.datasets.load_digits``."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.from_numpy(data.images).float().unsqueeze(1) * (2 / GREYS) - 1
    return Labelled(images, torch.from_numpy(data.target).long())


def images(part: str = "all") -> Labelled:
    """The digits of a part of the data: ``all`` 1,797, ``training`` 1,497 or ``held-out`` 300.

    Raises:
        UsageError: if the part is unknown.
    """
    return part_of(load_all(), part, HELD_OUT_PER_CLASS, "digits")
