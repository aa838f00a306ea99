import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.models import digits, mnist
from dss_ray.models.features import EXTRACTORS, load_extractor
from dss_ray.models.labelled import NUM_CLASSES, decode


@pytest.fixture(scope="module", params=EXTRACTORS)
def extractor(request):
    return load_extractor(request.param)


@pytest.fixture(scope="module")
def data(extractor):
    """The data set of the extractor."""
    return digits if extractor.name.startswith("digits") else mnist


def test_its_classifier_knows_held_out_digits(extractor, data):
    held_out = data.images("held-out")
    named = extractor.network(decode(held_out.images)).argmax(1)
    least = 0.97 if data is digits else 0.95  # dense layers know MNIST no better from 4,500 images
    assert (named == held_out.labels).float().mean() >= least


def test_features_are_full_rank_float32_and_differentiable(extractor, data):
    images = decode(data.images().images[:1500]).double().requires_grad_()
    features = extractor(images)
    assert (features.shape, features.dtype) == ((1500, extractor.dim), torch.float32)
    assert torch.linalg.eigvalsh(features.detach().double().T.cov()).min() > 1e-4
    assert torch.autograd.grad(features.sum(), images)[0].abs().sum() > 0


def test_the_fingerprint_is_stable(extractor):
    load_extractor.cache_clear()
    assert extractor.fingerprint == load_extractor(extractor.name).fingerprint


@pytest.mark.parametrize("source", [digits, mnist])
def test_within_a_class_neither_classifier_sees_all_that_the_other_sees(source):
    images, labels = source.images()
    classes = torch.nn.functional.one_hot(labels, NUM_CLASSES).double()
    name = source.__name__.rpartition(".")[2]
    cnn, mlp = (
        unexplained(classes, load_extractor(f"{name}-{kind}")(decode(images)).double())
        for kind in ("cnn", "mlp")
    )
    for one, other in ((cnn, mlp), (mlp, cnn)):
        assert unexplained(one, other).square().sum() > 0.2 * other.square().sum()


def unexplained(causes, features):
    """What linear regression on ``causes`` leaves of ``features``."""
    return features - causes @ torch.linalg.lstsq(causes, features).solution


def test_unknown_extractor_is_named():
    with pytest.raises(UsageError, match="digits-cnn"):
        load_extractor("inception")
