import numpy as np
import pytest
import scipy.linalg
import torch

from dss_ray.errors import UsageError
from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.statistics import Statistics


def features(count, dim, seed, stretch=1.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=generator, dtype=torch.float64) / dim**0.5
    return stretch * torch.randn(count, dim, generator=generator, dtype=torch.float64) @ mixing


def gaussian(mean, covariance, n=1000):
    return Statistics(n, mean, covariance * (n - 1))


def test_the_distance_of_commuting_gaussians_is_the_closed_form():
    mean, one = torch.arange(4.0, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    variances = torch.tensor([1.0, 4.0, 9.0, 0.0], dtype=torch.float64)
    distance = frechet_distance(gaussian(mean, one), gaussian(0 * mean, variances.diag()))
    deviations = (1 - variances.sqrt()).square().sum()
    assert distance == pytest.approx(float(mean.square().sum() + deviations), rel=1e-13)


def test_it_agrees_with_a_matrix_square_root():
    first, second = features(3000, 40, 0), features(2000, 40, 1, stretch=1.3) + 0.2
    c1, c2 = (np.cov(one.numpy(), rowvar=False) for one in (first, second))
    means = (first.mean(0) - second.mean(0)).square().sum().item()
    expected = means + np.trace(c1 + c2 - 2 * scipy.linalg.sqrtm(c1 @ c2).real)
    distance = frechet_distance(Statistics.of(first), Statistics.of(second))
    assert distance == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("count", [2, 30, 300])
def test_the_distance_to_itself_is_zero_with_fewer_samples_than_dimensions(count):
    statistics = Statistics.of(features(count, 128, 3))
    assert frechet_distance(statistics, statistics) < 1e-12 * statistics.covariance.trace()


def test_it_is_symmetric_with_fewer_samples_than_dimensions():
    first, second = (Statistics.of(features(40 + seed, 128, seed)) for seed in (0, 1))
    there, back = frechet_distance(first, second), frechet_distance(second, first)
    assert there == pytest.approx(back, rel=1e-13)


def test_rank_deficient_gaussians_have_their_low_dimensional_distance():
    first, second = features(50, 8, 0), features(60, 8, 1) + 1
    plane = torch.linalg.qr(features(128, 128, 2)).Q[:8]
    flat = frechet_distance(Statistics.of(first), Statistics.of(second))
    lifted = frechet_distance(Statistics.of(first @ plane), Statistics.of(second @ plane))
    assert lifted == pytest.approx(flat, rel=1e-12)


def test_a_point_mass_lies_its_variance_and_offset_away():
    point = gaussian(torch.zeros(5, dtype=torch.float64), torch.zeros(5, 5, dtype=torch.float64))
    other = gaussian(torch.ones(5, dtype=torch.float64), torch.eye(5, dtype=torch.float64))
    assert frechet_distance(point, other) == pytest.approx(10)


def test_features_of_other_lengths_are_refused():
    with pytest.raises(UsageError, match="length 8 and 9"):
        frechet_distance(Statistics.of(features(20, 8, 0)), Statistics.of(features(20, 9, 0)))
