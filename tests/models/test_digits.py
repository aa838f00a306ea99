import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.models import digits
from dss_ray.models.labelled import PARTS, decode, held_out


def test_parts_are_a_fixed_stratified_split():
    everything, training, kept_out = (digits.images(part) for part in PARTS)
    assert [len(part.labels) for part in (everything, training, kept_out)] == [1797, 1497, 300]
    assert kept_out.labels.bincount().tolist() == [30] * 10
    rows = torch.cat([training.images, kept_out.images]).flatten(1)
    assert torch.equal(rows.unique(dim=0), everything.images.flatten(1).unique(dim=0))
    assert held_out(digits.images().labels, 30).nonzero()[:3, 0].tolist() == [0, 1, 6]


def test_states_lie_in_range_and_decode_to_the_original_greys():
    images = digits.images().images
    assert images.shape == (1797, 1, 8, 8)
    assert (images.min(), images.max()) == (-1, 1)
    greys = decode(images) * digits.GREYS
    assert torch.equal(greys, greys.round())
    assert decode(torch.tensor([-3.0, 3.0])).tolist() == [0, 1]


def test_unknown_part_is_named():
    with pytest.raises(UsageError, match="held-out"):
        digits.images("test")
