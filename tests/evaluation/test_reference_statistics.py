import numpy as np
import pytest
import torch
from torch.nn.functional import gelu

from dss_ray.errors import FileError, UsageError
from dss_ray.evaluation import reference_statistics as module
from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.images import read_images
from dss_ray.evaluation.reference_statistics import (
    load_reference,
    reference_statistics,
    save_reference,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (620, 8, 8), dtype=np.uint8)


@pytest.fixture
def reference(tmp_path, extractor):
    np.save(tmp_path / "images.npy", PIXELS)
    return reference_statistics(read_images(tmp_path / "images.npy"), extractor, "images")


@pytest.fixture
def path(tmp_path, reference):
    save_reference(reference, tmp_path / "stats.npz")
    return tmp_path / "stats.npz"


def test_they_are_numpys_mean_and_covariance_of_the_features(reference, extractor):
    with torch.no_grad():
        features = extractor(torch.from_numpy(PIXELS)[:, None] / 255).double().numpy()
    covariance = np.cov(features, rowvar=False)
    np.testing.assert_allclose(reference.statistics.mean, features.mean(0), atol=1e-7)
    np.testing.assert_allclose(reference.statistics.covariance, covariance, atol=1e-8)


def test_spatial_ones_are_numpys_of_seven_channels_in_the_order_h_w_c(reference, extractor):
    first, _, second = extractor.network.layers[:3]
    with torch.no_grad():
        images = 2 * (torch.from_numpy(PIXELS)[:, None] / 255) - 1
        maps = gelu(second(gelu(first(images)))).double().numpy()
    rows = [
        [one[channel, y, x] for y in range(4) for x in range(4) for channel in range(7)]
        for one in maps
    ]
    np.testing.assert_allclose(reference.spatial.mean, np.mean(rows, 0), atol=1e-6)
    np.testing.assert_allclose(reference.spatial.covariance, np.cov(rows, rowvar=False), atol=1e-7)


def test_a_file_gives_the_spatial_ones_back_under_adms_names(path, reference):
    loaded = load_reference(path).require_spatial()
    assert loaded.n == 620
    assert torch.equal(loaded.mean, reference.spatial.mean)
    assert frechet_distance(loaded, reference.spatial) < 1e-12
    with np.load(path) as file:
        assert (file["mu_s"].shape, file["sigma_s"].shape) == ((112,), (112, 112))


def test_a_file_gives_them_back(path, reference, extractor):
    loaded = load_reference(path)
    loaded.check(extractor)
    assert (loaded.source, loaded.statistics.n) == ("images", 620)
    assert torch.equal(loaded.statistics.mean, reference.statistics.mean)
    assert frechet_distance(loaded.statistics, reference.statistics) < 1e-12


def test_a_file_gives_the_features_back_to_the_bit(path, reference, extractor):
    with torch.no_grad():
        features = extractor(torch.from_numpy(PIXELS)[:, None] / 255)
    assert torch.allclose(reference.vectors, features, atol=1e-6)
    assert torch.equal(load_reference(path).require_vectors(), reference.vectors)


def test_of_many_images_a_random_part_keeps_its_features(monkeypatch, extractor):
    batches = torch.from_numpy(PIXELS)[:, None].split(250)
    everything = reference_statistics(batches, extractor, "x")
    monkeypatch.setattr(module, "KEPT", 100)
    some = reference_statistics(batches, extractor, "x")
    assert torch.equal(some.statistics.m2, everything.statistics.m2)
    rows = [int((everything.vectors == row).all(1).nonzero()) for row in some.vectors]
    assert len(rows) == 100
    assert rows == sorted(set(rows))
    assert all(sum(first <= row < first + 250 for row in rows) > 20 for first in (0, 250))


def test_a_file_without_features_serves_all_but_the_metrics_of_neighbours(path):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "vectors"}
    np.savez(path, **arrays)
    with pytest.raises(UsageError, match=r"need the features themselves; `dss-ray reference"):
        load_reference(path).require_vectors()


def test_other_tools_find_mu_and_sigma_without_pickle(path, reference):
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["sigma"], reference.statistics.covariance)
        np.testing.assert_array_equal(file["mu"], reference.statistics.mean)


def test_another_extractor_is_refused(reference, other_extractor):
    with pytest.raises(UsageError, match="taken with digits-cnn"):
        reference.check(other_extractor)


def test_images_that_the_extractor_cannot_take_are_refused(extractor):
    with pytest.raises(UsageError, match=r"digits-cnn cannot read images of shape \(3, 8, 8\)"):
        reference_statistics([torch.zeros(2, 3, 8, 8, dtype=torch.uint8)], extractor, "x")


def test_fewer_than_two_images_are_refused(extractor):
    with pytest.raises(UsageError, match="need 2 images or more, got 0"):
        reference_statistics([], extractor, "x")


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -1])
def test_a_cut_file_is_refused(path, size):
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FileError, match=r"stats\.npz: no readable reference statistics"):
        load_reference(path)


def test_flipped_bytes_are_refused_or_harmless(path, reference):
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(100):
        broken = bytearray(whole)
        broken[random.integers(len(whole))] ^= int(random.integers(1, 256))
        path.write_bytes(broken)
        try:
            loaded = load_reference(path)
        except FileError:
            continue
        assert torch.equal(loaded.statistics.mean, reference.statistics.mean)
        assert loaded.statistics.n == 620


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": None}, "no readable reference statistics"),
        ({"mu": np.zeros(48, np.float32)}, r"expected float64 mu"),
        ({"sigma": np.zeros((48, 47))}, r"and torch.float64 \(48, 47\)"),
        ({"mu": np.full(48, np.nan)}, "NaN"),
        ({"n": np.int64(1)}, "fewer than two"),
        ({"vectors": np.zeros((5, 47), np.float32)}, r"no finite float32 features \(M, 48\)"),
        ({"vectors": np.zeros((5, 48))}, r"no finite float32 features"),
        ({"vectors": np.full((5, 48), np.inf, np.float32)}, r"no finite float32 features"),
        ({"vectors": np.zeros((621, 48), np.float32)}, r"no finite float32 features"),
        ({"n": np.array(["many"])}, "no readable reference statistics"),
        ({"mu": np.array("text")}, "no readable reference statistics"),
    ],
)
def test_a_foreign_file_is_refused(path, change, message):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files} | change
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(FileError, match=message):
        load_reference(path)
