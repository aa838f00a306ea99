"""Inception's extractor against torch-fidelity on shared random weights; see .ci/inception.

The real weights are no package's, so nothing here is an FID.
"""

from io import BytesIO

import numpy as np
import pytest
import torch

from dss_ray.cli.app import main
from dss_ray.errors import FileError, UsageError
from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.inception_score import inception_score
from dss_ray.evaluation.neighbours import precision_recall
from dss_ray.evaluation.reference_statistics import image_reading, load_reference
from dss_ray.evaluation.statistics import Statistics
from dss_ray.models.features import load_extractor

try:
    import torchvision  # noqa: F401 - torch-fidelity imports it for other networks
except ImportError:
    pass
except RuntimeError:
    # PyPI's torchvision is compiled for CUDA; beside a CPU torch it has no operators. None is used
    # here, but to be imported it wants two declared.
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

torch_fidelity = pytest.importorskip("torch_fidelity")
FeatureExtractorInceptionV3 = (
    torch_fidelity.feature_extractor_inceptionv3.FeatureExtractorInceptionV3
)
resize = torch_fidelity.interpolate_compat_tensorflow.interpolate_bilinear_2d_like_tensorflow1x

NAME = "inception-v3-compat"


class Untrained(FeatureExtractorInceptionV3):
    """The layers, without weights to load."""

    def load_state_dict(self, *_):
        pass


def random_weights(seed):
    """He's initialisation, so that signals neither die nor grow through the layers."""
    nothing = BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    empty = Untrained(NAME, ["2048"], feature_extractor_weights_path=nothing)
    generator, weights = torch.Generator().manual_seed(seed), empty.state_dict()
    for key, weight in weights.items():
        if weight.ndim >= 2:
            weight.normal_(0, (2 / weight[0].numel()) ** 0.5, generator=generator)
        elif key.endswith(("running_var", "bn.weight")):
            weight.uniform_(0.7, 1.3, generator=generator)
        elif weight.is_floating_point():
            weight.normal_(0, 0.1, generator=generator)
    return weights


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(random_weights(0), file)
    return file


@pytest.fixture(scope="module")
def extractor(path):
    return load_extractor(f"inception?path={path}")


def pictures(seed, count):
    """Blocks of random colours, whose contrast differs from image to image."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (count, 3, 5, 6)) * random.random((count, 3, 1, 1))
    return torch.from_numpy(blocks.astype(np.uint8).repeat(8, 2).repeat(8, 3))


REAL = pictures(0, 40) // 3
FAKE = torch.cat([pictures(1, 16) // 3, pictures(2, 8) // 9, pictures(3, 12)])


@pytest.fixture(scope="module")
def readings(extractor):
    with torch.no_grad():
        return [image_reading(images, extractor) for images in (REAL, FAKE)]


@pytest.fixture(scope="module")
def theirs(path, tmp_path_factory):
    """torch-fidelity's figures, and the folder of its cache."""
    cache = tmp_path_factory.mktemp("cache")
    found = torch_fidelity.calculate_metrics(
        input1=Pictures(FAKE),
        input2=Pictures(REAL),
        input2_cache_name="real",
        cache_root=str(cache),
        fid=True,
        isc=True,
        prc=True,
        isc_splits=1,
        samples_shuffle=False,
        feature_extractor=NAME,
        feature_extractor_weights_path=str(path),
        cuda=False,
        batch_size=40,
        verbose=False,
    )
    return found, cache


class Pictures(torch.utils.data.Dataset):
    """Images as torch-fidelity takes them."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


def test_features_and_logits_are_torch_fidelitys(path, readings):
    network = FeatureExtractorInceptionV3(
        NAME, ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    )
    features, logits = network(FAKE)
    assert features.std() > 0.1 and logits.std() > 0.1
    torch.testing.assert_close(readings[1].features, features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(readings[1].logits, logits, rtol=1e-5, atol=1e-5)


def test_spatial_features_are_seven_channels_of_mixed_6d_in_the_order_h_w_c(path, readings):
    network = FeatureExtractorInceptionV3(NAME, ["2048"], feature_extractor_weights_path=str(path))
    x = resize(FAKE.float(), (299, 299), align_corners=False)
    x = (x - 128) / 128
    for name, layer in network.named_children():
        x = layer(x)
        if name == "Mixed_6d":
            break
    found = readings[1].spatial.view(-1, 17, 17, 7)
    assert readings[1].spatial.shape == (36, 2023)
    for h, w, c in ((0, 0, 0), (3, 11, 6), (16, 16, 2), (9, 0, 5)):
        torch.testing.assert_close(found[:, h, w, c], x[:, c, h, w], rtol=1e-5, atol=1e-5)


def test_the_frechet_distance_is_torch_fidelitys(theirs, readings):
    real, fake = (Statistics.of(one.features) for one in readings)
    ours = frechet_distance(fake, real)
    assert ours == pytest.approx(theirs[0]["frechet_inception_distance"], rel=1e-4)


def test_the_inception_score_is_torch_fidelitys(theirs, readings):
    found = inception_score(readings[1].logits)
    assert found > 1.001
    assert found == pytest.approx(theirs[0]["inception_score_mean"], rel=1e-5)


def test_precision_and_recall_are_torch_fidelitys(theirs, readings):
    found = precision_recall(readings[0].features, readings[1].features)
    assert found.precision < 1 and found.recall < 1
    assert (found.precision, found.recall) == pytest.approx(
        (theirs[0]["precision"], theirs[0]["recall"])
    )


def test_torch_fidelitys_cached_statistics_are_read_as_inceptions(theirs, extractor, readings):
    (file,) = theirs[1].rglob("*-stat-fid-2048.pt")
    loaded = load_reference(file).bound(extractor)
    made = Statistics.of(readings[0].features)
    assert file.name in loaded.source and loaded.statistics.n is None
    assert frechet_distance(loaded.statistics, made) < 1e-6 * float(made.covariance.trace())


def test_the_command_records_which_weights_made_the_statistics(
    path, extractor, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", REAL[:4].permute(0, 2, 3, 1).numpy())
    asked = ["reference", "images.npy", f"--features=inception?path={path}", "-o", "s.npz"]
    monkeypatch.setattr("sys.argv", ["dss-ray", *asked])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    with np.load("s.npz") as file:
        assert str(file["features"]) == "inception"
        assert str(file["fingerprint"]) == extractor.fingerprint
        assert (file["mu"].shape, file["sigma_s"].shape) == ((2048,), (2023, 2023))


def test_other_weights_have_another_fingerprint(extractor, tmp_path):
    torch.save(random_weights(1), tmp_path / "other.pth")
    assert load_extractor(f"inception?path={tmp_path / 'other.pth'}").fingerprint != (
        extractor.fingerprint
    )


def test_grey_images_are_three_equal_channels(extractor):
    grey = REAL[:2, :1]
    whole, spread = (image_reading(one, extractor) for one in (grey, grey.expand(-1, 3, -1, -1)))
    assert torch.equal(whole.features, spread.features)


def test_it_judges_and_does_not_steer(extractor):
    with pytest.raises(UsageError, match="steer with another extractor"):
        extractor(torch.zeros(2, 3, 8, 8, requires_grad=True))


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"fc.weight": torch.zeros(10, 2048)}, tmp_path / "w.pth")
    with pytest.raises(FileError, match=r"w\.pth: weights of another network"):
        load_extractor(f"inception?path={tmp_path / 'w.pth'}")
