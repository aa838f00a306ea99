import torch

from dss_ray.models import mnist
from dss_ray.models.labelled import PARTS, decode


def test_parts_are_a_fixed_stratified_split():
    everything, training, held_out = (mnist.images(part) for part in PARTS)
    assert [len(part.labels) for part in (everything, training, held_out)] == [5000, 4500, 500]
    assert everything.labels.bincount().tolist() == [500] * 10
    assert held_out.labels.bincount().tolist() == [50] * 10
    rows = torch.cat([training.images, held_out.images]).flatten(1)
    assert torch.equal(rows.unique(dim=0), everything.images.flatten(1).unique(dim=0))


def test_states_lie_in_range_and_decode_to_the_original_greys():
    images = mnist.images().images
    assert images.shape == (5000, 1, 28, 28)
    assert (images.min(), images.max()) == (-1, 1)
    greys = decode(images) * 255
    assert (greys - greys.round()).abs().max() < 1e-4
