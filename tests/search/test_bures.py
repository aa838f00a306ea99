import pytest
import torch

from dss_ray.errors import DivergedError
from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.statistics import Statistics
from dss_ray.search.bures import FrechetTarget


def random_features(count, size, seed):
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=random, dtype=torch.float64)
    return torch.randn(count, size, generator=random, dtype=torch.float64) @ mixing + seed


def make_target(features):
    found = Statistics.of(features)
    return FrechetTarget(lambda states: states, found.mean, found.covariance)


@pytest.mark.parametrize(("count", "size"), [(50, 3), (400, 30), (12, 20), (2, 5)])
def test_the_distance_is_that_of_the_evaluation(count, size):
    features, reference = random_features(count, size, 1), random_features(300, size, 2)
    expected = frechet_distance(Statistics.of(features), Statistics.of(reference))
    assert float(make_target(reference).distance(features)) == pytest.approx(expected, rel=1e-8)


def test_the_distance_of_equal_statistics_is_zero():
    features = random_features(200, 6, 3)
    assert abs(float(make_target(features).distance(features))) < 1e-10


def test_the_gradient_equals_finite_differences():
    target, features = make_target(random_features(60, 4, 2)), random_features(9, 4, 1)
    assert torch.autograd.gradcheck(target.distance, features.requires_grad_())


def test_fewer_samples_than_features_have_a_finite_gradient():
    target = make_target(random_features(60, 20, 2))
    features = random_features(8, 20, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(target.distance(features), features)
    nearer = target.distance(features.detach() - 1e-3 * gradient)
    assert gradient.isfinite().all()
    assert nearer < target.distance(features)


def test_the_curvature_along_shifts_is_the_hessian():
    """Shifts move the mean linearly, so that Gauss-Newton leaves nothing out."""
    target, features = make_target(random_features(60, 4, 2)), random_features(40, 4, 1)
    slopes = torch.eye(4, dtype=torch.float64).expand(40, 4, 4)
    matrix = target.curvature(features, features, slopes)
    exact = torch.autograd.functional.hessian(
        lambda shift: target.distance(features + shift), torch.zeros(4, dtype=torch.float64)
    )
    torch.testing.assert_close(matrix, exact, atol=1e-9, rtol=0)


def test_the_curvature_is_the_second_derivative_in_the_covariance():
    """Along the covariance itself, which scales with the square of the features."""
    target, features = make_target(random_features(60, 4, 2)), random_features(40, 4, 1)
    centred = features - features.mean(0)

    def distance(change):  # of the covariance, relative; the mean stays
        return target.distance(features.mean(0) + (1 + change).sqrt() * centred)

    exact = torch.autograd.functional.hessian(distance, torch.zeros((), dtype=torch.float64))
    found = target.curvature(features, features, centred[..., None] / 2)
    torch.testing.assert_close(found.squeeze(), exact)


def test_nan_in_the_features_is_a_divergence():
    target, features = make_target(random_features(60, 4, 2)), random_features(10, 4, 1)
    features[3, 2] = torch.nan
    with pytest.raises(DivergedError, match="in the features"):
        target.distance(features)
