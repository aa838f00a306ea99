import pytest
import torch

from dss_ray.errors import ModelError
from dss_ray.models.gaussian import GaussianMixture, plane
from dss_ray.models.noise import draw

WEIGHTS = torch.tensor([1.0, 3.0], dtype=torch.float64)
MEANS = torch.tensor([[1.0, 0.5], [-0.5, -1.0]], dtype=torch.float64)
COVARIANCES = torch.tensor([[[0.3, 0.1], [0.1, 0.2]], [[0.2, -0.15], [-0.15, 0.4]]]).double()


@pytest.fixture(scope="module")
def mixture():
    return GaussianMixture(WEIGHTS, MEANS, COVARIANCES, torch.arange(2))


def density(points, component):
    """The component's density at points (..., 2), by torch.distributions."""
    normal = torch.distributions.MultivariateNormal(MEANS[component], COVARIANCES[component])
    return normal.log_prob(points).exp()


@pytest.mark.parametrize("label", [None, 0, 1])
@pytest.mark.parametrize("t", [0.2, 0.5, 0.8])
def test_velocity_is_the_mean_of_data_minus_noise_by_quadrature(mixture, t, label):
    x = torch.tensor([0.3, -0.4], dtype=torch.float64)
    axis = torch.linspace(-5, 5, 801, dtype=torch.float64)
    data = torch.cartesian_prod(axis, axis)
    noise = (x - t * data) / (1 - t)
    parts = [0.25 * density(data, 0), 0.75 * density(data, 1)]
    weight = (sum(parts) if label is None else parts[label]) * (-noise.square().sum(1) / 2).exp()
    expected = (weight[:, None] * (data - noise)).sum(0) / weight.sum()
    labels = None if label is None else torch.tensor([label])
    assert torch.allclose(mixture(x[None], torch.tensor(t), labels)[0], expected, atol=1e-9)


def test_velocity_follows_from_the_score(mixture):
    """v = (x + (1 - t) score) / t, the score by automatic differentiation of the density."""
    t = 0.6
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    marginal = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(WEIGHTS),
        torch.distributions.MultivariateNormal(
            t * MEANS, t**2 * COVARIANCES + (1 - t) ** 2 * torch.eye(2).double()
        ),
    )
    (score,) = torch.autograd.grad(marginal.log_prob(x).sum(), x)
    expected = (x + (1 - t) * score) / t
    assert torch.allclose(mixture(x, torch.tensor(t), None), expected, atol=1e-12)


def test_fine_steps_carry_noise_to_the_mixture(mixture):
    x, _ = draw((2,), None, "evaluation", 0, 0, 4000)
    state, steps = x.double(), 100
    for step in range(steps):
        middle = state + mixture(state, torch.tensor(step / steps), None) / (2 * steps)
        state = state + mixture(middle, torch.tensor((step + 0.5) / steps), None) / steps
    shares = WEIGHTS / WEIGHTS.sum()
    mean = shares @ MEANS
    spread = MEANS - mean
    covariance = torch.einsum(
        "k,kij->ij", shares, COVARIANCES + spread[:, :, None] * spread[:, None]
    )
    assert torch.allclose(state.mean(0), mean, atol=0.05)
    assert torch.allclose(state.T.cov(), covariance, atol=0.06)


def test_isotropic_and_full_covariances_agree_and_shapes_are_kept():
    means = torch.arange(12.0).view(2, 2, 3) / 6
    variances = torch.tensor([0.2, 0.5])
    full = variances[:, None, None] * torch.eye(6)
    x, t = torch.randn(5, 2, 3), torch.rand(5)
    isotropic = GaussianMixture(torch.ones(2), means, variances)
    velocity = isotropic(x, t, None)
    assert torch.allclose(velocity, GaussianMixture(torch.ones(2), means, full)(x, t, None))
    assert (velocity.shape, velocity.dtype) == (x.shape, torch.float32)
    assert isotropic.num_classes is None


def test_gradients_flow_through_state_and_time(mixture):
    x = torch.randn(3, 2).double().requires_grad_()
    t = torch.tensor([0.1, 0.5, 0.9]).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, t: mixture(x, t, torch.tensor([0, 1, 2])), (x, t))


def test_the_null_label_is_the_whole_mixture():
    model = plane()
    x, label = draw((2,), None, "search", 0, 0, 7)[0], torch.full((7,), 4)
    assert model.num_classes == 4
    assert torch.equal(model(x, torch.tensor(0.5), label), model(x, torch.tensor(0.5), None))


@pytest.mark.parametrize(
    ("weights", "covariances", "classes"),
    [
        (torch.ones(3), torch.ones(2), None),
        (torch.ones(2), torch.ones(2, 3, 3), None),
        (torch.tensor([1.0, 0.0]), torch.ones(2), None),
        (torch.ones(2), torch.tensor([1.0, -1.0]), None),
        (torch.ones(2), torch.ones(2), torch.tensor([0, 2])),
    ],
)
def test_impossible_mixtures_are_refused(weights, covariances, classes):
    with pytest.raises(ModelError):
        GaussianMixture(weights, MEANS, covariances, classes)
