import pickle

import numpy as np
import pytest
import torch

from dss_ray.errors import FileError, UsageError
from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.reference_statistics import load_reference, reference_statistics
from dss_ray.models.features import Extractor, digits_cnn

RANDOM = np.random.default_rng(0)
MU, SIGMA = RANDOM.normal(size=48), np.cov(RANDOM.normal(size=(48, 100)))
MU_S, SIGMA_S = RANDOM.normal(size=112), np.cov(RANDOM.normal(size=(112, 200)))
IMAGES = RANDOM.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def inception():
    """A small network under the name of the one that such files are taken to be of."""
    torch.manual_seed(0)
    return Extractor("inception", digits_cnn())


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.fixture(params=["clean-fid or EDM", "ADM", "torch-fidelity"])
def path(request, tmp_path):
    if request.param == "ADM":
        adm = {"mu_s": MU_S, "sigma_s": SIGMA_S, "arr_0": IMAGES}
        return write_npz(tmp_path / "s.npz", mu=MU, sigma=SIGMA, **adm)
    if request.param == "torch-fidelity":
        torch.save({"mu": MU.astype(np.float32), "sigma": SIGMA}, tmp_path / "s.pt")
        return tmp_path / "s.pt"
    return write_npz(tmp_path / "s.npz", mu=MU, sigma=SIGMA)


def test_mean_and_covariance_of_an_unknown_number_of_images_are_read(path, inception):
    loaded = load_reference(path).bound(inception)
    torch.testing.assert_close(loaded.statistics.mean, torch.from_numpy(MU), rtol=1e-6, atol=1e-7)
    assert torch.equal(loaded.statistics.covariance, torch.from_numpy(SIGMA))
    assert (loaded.statistics.n, loaded.vectors) == (None, None)
    assert loaded.fingerprint == inception.fingerprint
    assert loaded.source.startswith(path.name)


def test_the_distance_to_them_needs_no_count(path, inception):
    own = reference_statistics([torch.from_numpy(IMAGES).permute(0, 3, 1, 2)], inception, "x")
    there = load_reference(path).statistics
    assert frechet_distance(own.statistics, there) > 0
    assert frechet_distance(there, there) < 1e-12 * np.trace(SIGMA)


def test_another_extractor_is_refused_with_the_file_and_the_remedy(path, extractor):
    with pytest.raises(UsageError, match=r"s\.(npz|pt): .* with inception, .*`dss-ray reference"):
        load_reference(path).check(extractor)


def test_another_number_of_features_is_refused_with_the_file(tmp_path, inception):
    path = write_npz(tmp_path / "s.npz", mu=MU[:40], sigma=SIGMA[:40, :40])
    with pytest.raises(UsageError, match=r"s\.npz: .* have 40 dimensions, inception has 48"):
        load_reference(path).check(inception)


def test_adms_spatial_statistics_are_read(tmp_path):
    path = write_npz(tmp_path / "s.npz", mu=MU, sigma=SIGMA, mu_s=MU_S, sigma_s=SIGMA_S)
    spatial = load_reference(path).require_spatial()
    assert torch.equal(spatial.mean, torch.from_numpy(MU_S))
    assert torch.equal(spatial.covariance, torch.from_numpy(SIGMA_S))


class Ran:
    """A pickle that would leave a trace."""

    def __reduce__(self):
        return eval, ("open('ran', 'w')",)


@pytest.mark.parametrize("name", ["s.pkl", "s.pt", "s.npz"])
def test_a_pickle_is_never_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps({"mu": Ran(), "sigma": SIGMA}))
    with pytest.raises(FileError, match=rf"{name[:-3]}"):
        load_reference(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_is_named_with_the_way_to_convert_it(tmp_path):
    with pytest.raises(FileError, match=r"edm\.pkl: a pickle can run code.*numpy\.savez"):
        load_reference(tmp_path / "edm.pkl")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"arr_0": IMAGES}, "no readable reference statistics"),
        ({"mu": MU}, "no readable reference statistics"),
        ({"mu": MU, "sigma": SIGMA[:, :40]}, r"float64 sigma|\(48, 40\)"),
        ({"mu": MU * np.nan, "sigma": SIGMA}, "NaN"),
        ({"mu": MU, "sigma": SIGMA * 1j}, "no readable reference statistics"),
        ({"mu": MU, "sigma": SIGMA, "mu_s": MU_S}, "no readable reference statistics"),
        ({"mu": MU, "sigma": SIGMA, "mu_s": MU_S, "sigma_s": SIGMA}, "mu_s"),
        ({"mu": MU, "sigma": np.triu(SIGMA)}, "no covariance"),
    ],
)
def test_what_holds_no_statistics_is_refused(tmp_path, arrays, message):
    with pytest.raises(FileError, match=rf"s\.npz: .*({message})"):
        load_reference(write_npz(tmp_path / "s.npz", **arrays))
