import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.models import digits
from dss_ray.models.features import EXTRACTORS, load_extractor


@pytest.fixture(scope="module", params=EXTRACTORS)
def extractor(request):
    return load_extractor(request.param)


def test_its_classifier_knows_held_out_digits(extractor):
    held_out = digits.images("held-out")
    named = extractor.network(digits.decode(held_out.images)).argmax(1)
    assert (named == held_out.labels).float().mean() >= 0.97


def test_features_are_full_rank_float32_and_differentiable(extractor):
    images = digits.decode(digits.images().images).double().requires_grad_()
    features = extractor(images)
    assert (features.shape, features.dtype) == ((1797, extractor.dim), torch.float32)
    assert torch.linalg.eigvalsh(features.detach().double().T.cov()).min() > 1e-4
    assert torch.autograd.grad(features.sum(), images)[0].abs().sum() > 0


def test_the_fingerprint_is_stable(extractor):
    load_extractor.cache_clear()
    assert extractor.fingerprint == load_extractor(extractor.name).fingerprint


def test_within_a_class_neither_classifier_sees_all_that_the_other_sees():
    images, labels = digits.images()
    classes = torch.nn.functional.one_hot(labels, digits.NUM_CLASSES).double()
    cnn, mlp = (
        unexplained(classes, load_extractor(name)(digits.decode(images)).double())
        for name in ("digits-cnn", "digits-mlp")
    )
    for one, other in ((cnn, mlp), (mlp, cnn)):
        assert unexplained(one, other).square().sum() > 0.2 * other.square().sum()


def unexplained(causes, features):
    """What linear regression on ``causes`` leaves of ``features``."""
    return features - causes @ torch.linalg.lstsq(causes, features).solution


def test_unknown_extractor_is_named():
    with pytest.raises(UsageError, match="digits-cnn"):
        load_extractor("inception")
