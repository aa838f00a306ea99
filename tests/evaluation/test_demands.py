from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.evaluation.demands import fulfilled
from dss_ray.evaluation.reference_statistics import load_reference, reference_statistics
from dss_ray.models.features import Extractor, digits_cnn, load_extractor

PIXELS = np.random.default_rng(0).integers(0, 256, (130, 8, 8, 1), dtype=np.uint8)
IMAGES = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def reference(extractor):
    return reference_statistics([IMAGES], extractor, "noise")


@pytest.mark.parametrize(("metric", "dim"), [("fid", 48), ("sfid", 112)])
def test_no_more_samples_than_dimensions_are_refused_with_both_numbers(
    extractor, reference, metric, dim
):
    fulfilled([metric], dim + 1, extractor, reference)
    with pytest.raises(UsageError, match=rf"{dim} samples .* {dim} dimensions; .*--samples"):
        fulfilled([metric], dim, extractor, reference)


def test_other_metrics_need_no_covariance(extractor, reference):
    fulfilled(["precision", "recall", "rmse", "inception_score"], 8, extractor, reference)


def test_too_few_images_are_refused_with_their_file(extractor, reference, tmp_path):
    few = reference_statistics([IMAGES[:48]], extractor, "few")
    few = replace(few, file=tmp_path / "few.npz")
    with pytest.raises(UsageError, match=r"few\.npz: .*48 images are too few .*dss-ray reference"):
        fulfilled(["fid"], 1000, extractor, few)


def test_dense_layers_have_no_sfid():
    extractor = load_extractor("digits-mlp")
    reference = reference_statistics([IMAGES], extractor, "noise")
    fulfilled(["fid", "inception_score"], 1000, extractor, reference)
    with pytest.raises(UsageError, match=r"digits-mlp has no convolution.*digits-cnn"):
        fulfilled(["sfid"], 1000, extractor, reference)


class Brightness(torch.nn.Module):
    """A user's extractor of the least kind."""

    name, dim, fingerprint = "brightness", 2, "b"

    def forward(self, images):
        return torch.stack([images.mean((1, 2, 3)), images.std((1, 2, 3))], 1)


def test_an_extractor_of_features_alone_serves_fid_precision_and_recall():
    reference = reference_statistics([IMAGES], Brightness(), "noise")
    fulfilled(["fid", "precision", "recall"], 50, Brightness(), reference)
    for metric, lacking in (("sfid", "no spatial features"), ("inception_score", "no logits")):
        with pytest.raises(UsageError, match=f"brightness .*{lacking}"):
            fulfilled([metric], 50, Brightness(), reference)


def test_statistics_without_spatial_ones_have_no_sfid(extractor, reference):
    with pytest.raises(UsageError, match=r"no spatial features .*dss-ray reference"):
        fulfilled(["sfid"], 500, extractor, replace(reference, spatial=None))


def test_spatial_statistics_of_another_length_are_refused(extractor, reference):
    other = SimpleNamespace(name="digits-cnn", spatial_dim=343)
    with pytest.raises(UsageError, match="112 spatial dimensions, digits-cnn has 343"):
        fulfilled(["sfid"], 500, other, reference)


def test_adms_images_give_the_features_that_precision_and_recall_need(tmp_path):
    torch.manual_seed(0)
    inception = Extractor("inception", digits_cnn())
    mu, sigma = np.zeros(48), np.eye(48)
    np.savez(tmp_path / "adm.npz", arr_0=PIXELS, mu=mu, sigma=sigma)
    loaded = load_reference(tmp_path / "adm.npz").bound(inception)
    found = fulfilled(["precision"], 50, inception, loaded).require_vectors()
    with torch.no_grad():
        torch.testing.assert_close(found, inception(IMAGES / 255), rtol=0, atol=1e-6)
    with pytest.raises(UsageError, match=r"adm\.npz: .* need the features themselves"):
        fulfilled(["recall"], 50, inception, replace(loaded, images=None))
