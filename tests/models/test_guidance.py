import pytest
import torch

from dss_ray.errors import ModelError, UsageError
from dss_ray.models.gaussian import GaussianMixture
from dss_ray.models.guidance import guide, guide_steps, one_flow
from dss_ray.models.noise import draw
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.zoo import load_model

T = torch.tensor(0.4)


class Counted(GaussianMixture):
    """A class-conditional mixture over states (4, 1) that counts its evaluations."""

    calls = evaluations = 0

    def __call__(self, x, t, label):
        self.calls += 1
        self.evaluations += len(x)
        return super().__call__(x, t, label)


@pytest.fixture
def model():
    means = torch.tensor([[1.0, 0, 2, 0], [0, -1, 0, 1], [-1, 1, 0, 0]])[..., None]
    return Counted(torch.ones(3), means, torch.tensor([0.1, 0.2, 0.3]), torch.arange(3))


@pytest.fixture
def batch(model):
    return draw(model.sample_shape, model.num_classes, "search", 0, 0, 6)


@pytest.mark.parametrize(("scale", "per_query"), [(1, 1), (0, 2), (1.5, 2), (4, 2)])
def test_one_batched_call_costs_what_is_claimed(model, batch, scale, per_query):
    guided = guide(model, scale)
    guided(batch[0], T, batch[1])
    assert guided.evaluations_per_query == per_query
    assert (model.calls, model.evaluations) == (1, per_query * 6)


def test_scale_one_is_the_conditional_velocity_exactly(model, batch):
    guided = guide(model, 1.0)
    assert torch.equal(guided(batch[0], T, batch[1]), model(batch[0], T, batch[1]))
    assert guided.fingerprint == model.fingerprint


@pytest.mark.parametrize("t", [T, torch.linspace(0, 0.9, 6)], ids=["scalar", "per sample"])
def test_velocity_extrapolates_from_null_to_label(model, batch, t):
    noise, label = batch
    conditional, null = model(noise, t, label), model(noise, t, None)
    expected = null + 2.5 * (conditional - null)
    assert torch.allclose(guide(model, 2.5)(noise, t, label), expected, atol=1e-6)


def test_only_the_named_channels_are_guided(model, batch):
    noise, label = batch
    partly, wholly = guide(model, 3.0, channels=3), guide(model, 3.0)
    velocity = partly(noise, T, label)
    assert torch.equal(velocity[:, :3], wholly(noise, T, label)[:, :3])
    assert torch.allclose(velocity[:, 3:], model(noise, T, label)[:, 3:], atol=1e-6)
    assert len({partly.fingerprint, wholly.fingerprint, model.fingerprint}) == 3


def test_a_guided_model_is_a_velocity_model_with_the_same_decoder():
    model = load_model("digits-sit")
    guided = guide(model, 2.0)
    assert isinstance(guided, VelocityModel)
    assert (guided.decode, guided.features) == (model.decode, "digits-cnn")
    assert not hasattr(guided, "noise_scale")


def test_a_searched_scale_has_its_gradient_also_at_one(model, batch):
    noise, label = batch
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    guided = guide(model, scale)
    velocity = guided(noise, T, label)
    (slope,) = torch.autograd.grad(velocity.sum(), scale)
    expected = (model(noise, T, label) - model(noise, T, None)).sum()
    assert velocity.dtype == noise.dtype
    assert guided.evaluations_per_query == 2
    assert torch.allclose(slope.float(), expected, atol=1e-5)


def test_steps_at_scale_one_cost_one_evaluation(model, batch):
    guided = guide_steps(model, [1.0, 2.0, 1, 0.5], 4)
    for one in guided:
        one(batch[0], T, batch[1])
    assert [one.evaluations_per_query for one in guided] == [1, 2, 1, 2]
    assert model.evaluations == 6 * 6


def test_one_scale_serves_all_steps_and_has_one_flow(model):
    guided = guide_steps(model, 1.5, 3)
    assert [one.scale for one in guided] == [1.5] * 3
    assert one_flow(guided).fingerprint == guide(model, 1.5).fingerprint


def test_scales_that_differ_have_no_converged_reference(model):
    with pytest.raises(UsageError, match=r"\(1, 2\) has no converged reference"):
        one_flow(guide_steps(model, [1, 2], 2))
    with pytest.raises(UsageError, match="one guidance scale or 3, one per query, got 2"):
        guide_steps(model, [1, 2], 3)


def test_what_cannot_be_guided_is_refused(model, batch):
    unconditional = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    assert guide(unconditional, 1).evaluations_per_query == 1
    with pytest.raises(ModelError, match="unconditional"):
        guide(unconditional, 2)
    with pytest.raises(ModelError, match="finite"):
        guide(model, float("nan"))
    with pytest.raises(ModelError, match="channels must be 1 to 4"):
        guide(model, 2, channels=5)
    with pytest.raises(ModelError, match="needs labels"):
        guide(model, 2)(batch[0], T, None)
