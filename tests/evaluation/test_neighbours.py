import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dss_ray.errors import UsageError
from dss_ray.evaluation import neighbours
from dss_ray.evaluation.neighbours import PrecisionRecall, precision_recall


def gaussian(count, dim=6, scale=1.0, seed=0):
    return scale * torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def textbook(reference, samples):
    """The paper's equations on whole distance matrices, without blocks."""
    reference, samples = reference.double(), samples.double()

    def covered(points, members):
        reach = torch.cdist(members, members).sort(1).values[:, 3]  # 0 is the member itself
        return float((torch.cdist(points, members) <= reach).any(1).double().mean())

    return PrecisionRecall(covered(samples, reference), covered(reference, samples))


@pytest.mark.parametrize("entries", [1, 1000, 2**22])
def test_blocks_of_any_size_give_the_textbooks_numbers(monkeypatch, entries):
    monkeypatch.setattr(neighbours, "ENTRIES", entries)
    reference, samples = gaussian(150), gaussian(170, scale=0.8, seed=1)
    found = precision_recall(reference, samples)
    assert found == textbook(reference, samples)
    assert 0 < found.recall < found.precision < 1


class Sizes(TorchDispatchMode):
    """Remembers the largest tensor that an operation made."""

    largest = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        sizes = [one.numel() for one in tree_leaves(made) if isinstance(one, torch.Tensor)]
        self.largest = max([self.largest, *sizes])
        return made


def test_no_tensor_grows_with_the_product_of_the_counts(monkeypatch):
    """A tile of vectors has 64 x 20 numbers, of distances and known ones 64 x 68."""
    monkeypatch.setattr(neighbours, "ENTRIES", 64**2)
    reference, samples = gaussian(500, dim=20), gaussian(700, dim=20, seed=1)
    with Sizes() as sizes:
        found = precision_recall(reference, samples)
    assert sizes.largest <= 64 * (64 + 4)
    assert found == textbook(reference, samples)


def test_on_a_line_they_are_what_one_counts_by_hand():
    reference = torch.tensor([[0.0], [1.0], [2.0], [4.0], [20.0]])  # reach 4, 3, 2, 4, 19
    samples = torch.tensor([[-5.0], [0.5], [1.5], [1.6]])  # reach 6.6, 5.5, 6.5, 6.6
    assert precision_recall(reference, samples) == PrecisionRecall(3 / 4, 4 / 5)


def test_identical_sets_have_one_and_distant_sets_zero():
    points = gaussian(100)
    assert precision_recall(points, points) == PrecisionRecall(1.0, 1.0)
    assert precision_recall(points, points + 100) == PrecisionRecall(0.0, 0.0)


def test_a_collapsed_sampler_is_precise_without_recall():
    modes = torch.cat([gaussian(100), gaussian(100, seed=1) + 50])
    found = precision_recall(modes, gaussian(200, scale=0.3, seed=2))
    assert found.precision > 0.95
    assert found.recall < 0.5


def test_neither_depends_on_the_order_of_the_sets():
    reference, samples = gaussian(90), gaussian(80, scale=0.9, seed=1)
    shuffled = samples[torch.randperm(80, generator=torch.Generator().manual_seed(0))]
    assert precision_recall(reference, samples) == precision_recall(reference.flip(0), shuffled)


@pytest.mark.parametrize(("real", "sampled"), [(3, 50), (50, 3)])
def test_too_few_vectors_are_refused(real, sampled):
    with pytest.raises(UsageError, match="need 4 images and samples or more, got 3"):
        precision_recall(gaussian(real), gaussian(sampled))
