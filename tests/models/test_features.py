from importlib.util import find_spec

import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.models import digits, mnist
from dss_ray.models.features import EXTRACTORS, Extractor, digits_cnn, load_extractor
from dss_ray.models.labelled import NUM_CLASSES, decode
from dss_ray.models.reading import read


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


FINGERPRINTS = {  # of the weights as they first shipped
    "digits-cnn": "a6a2c6de5bd9f326",
    "digits-mlp": "97d7e098791c3ade",
    "mnist-cnn": "8cb1595d1753e79b",
    "mnist-mlp": "0aa6699035c295a8",
}


def test_one_pass_gives_features_logits_and_a_convolutions_map(extractor, data):
    images = decode(data.images().images[:50])
    reading = extractor.read(images)
    assert torch.equal(reading.features, extractor(images))
    assert torch.equal(reading.logits, extractor.network(images))
    assert reading.logits.shape == (50, extractor.classes) == (50, NUM_CLASSES)
    if extractor.name.endswith("mlp"):
        assert reading.spatial is None and extractor.spatial_dim is None
    else:
        assert reading.spatial.shape == (50, extractor.spatial_dim)
        assert extractor.spatial_dim == (7 * 4 * 4 if data is digits else 7 * 7 * 7)


def test_the_weights_are_those_that_earlier_figures_were_made_with(extractor):
    assert extractor.fingerprint.startswith(FINGERPRINTS[extractor.name])


@pytest.mark.parametrize("name", ["inception", "inception?file=x", "inception?path=x&n=2"])
def test_inception_asks_for_its_weights(name):
    with pytest.raises(UsageError, match=r"expected inception\?path=FILE"):
        load_extractor(name)


@pytest.mark.skipif(find_spec("torch_fidelity") is not None, reason="torch-fidelity is installed")
def test_without_torch_fidelity_inception_says_how_to_install_it(tmp_path):
    with pytest.raises(UsageError, match=r"pip install 'dss_ray\[inception\]'"):
        load_extractor(f"inception?path={tmp_path / 'w.pth'}")


def test_unknown_extractor_is_named():
    with pytest.raises(UsageError, match="digits-cnn"):
        load_extractor("inception")


def test_an_extractor_follows_the_images_to_their_device():
    extractor = Extractor("digits-cnn", digits_cnn())  # not the shared one, which would stay there
    reading = read(extractor, torch.zeros(2, 1, 8, 8, device="meta"))
    assert reading.features.device.type == "meta"
    assert {weight.device.type for weight in extractor.parameters()} == {"meta"}


def test_an_extractor_that_cannot_move_reads_on_the_cpu():
    seen = []

    def mean(images):
        seen.append(images.device.type)
        return images.mean((2, 3))

    assert read(mean, torch.ones(2, 1, 8, 8)).features.shape == (2, 1)
    assert seen == ["cpu"]
