import pytest
import torch

from dss_ray.api import load_model
from dss_ray.models.guidance import guide
from dss_ray.models.teacher import Teacher
from dss_ray.search import sampled_distance
from dss_ray.search.bures import FrechetTarget
from dss_ray.search.features import feature_map
from dss_ray.search.sampled_distance import SampledDistance
from dss_ray.search.space import make_space
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid

START = classical_table("ab2", make_grid("uniform", 3))


@pytest.fixture
def target():
    mean, covariance = torch.tensor([0.2, -0.1]).double(), torch.tensor([[2, 0.5], [0.5, 1]])
    return FrechetTarget(lambda states: states.tanh() * 2, mean, covariance.double())


@pytest.fixture
def make(counted, target):
    def make(guidance=1.0):
        noise = Teacher(guide(counted, 1.0), "search", 0).noise
        return SampledDistance(counted, noise, target, make_space("whole", START), guidance)

    return make


def test_the_gradient_over_chunks_is_that_of_the_whole_batch(make, monkeypatch):
    distance = make()
    whole = distance.batch(0, 90)
    monkeypatch.setattr(sampled_distance, "TOGETHER", 60)
    parts, theta = distance.batch(0, 90), distance.point(1.0)
    assert [len(noise) for noise, _ in parts] == [20, 20, 20, 20, 10]
    (_, one, at_once), (_, two, chunked) = (distance.slope(theta, b) for b in (whole, parts))
    assert one == pytest.approx(two, rel=1e-6)
    torch.testing.assert_close(at_once, chunked, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_coordinates_and_scales_equals_finite_differences(make):
    distance = make(guidance=None)
    batch = [(noise.double(), label) for noise, label in distance.batch(0, 40)]
    theta = distance.point((1.0, 1.5, 0.7))
    _, _, gradient = distance.slope(theta, batch)
    for shift in 1e-5 * torch.eye(len(theta), dtype=torch.float64):
        ends = [distance.value(theta + sign * shift, batch) for sign in (1, -1)]
        assert float(gradient @ shift) == pytest.approx((ends[0] - ends[1]) / 2, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_short_floats_have_nearly_the_gradient(precision):
    model = load_model("digits-sit")
    noise, features = Teacher(guide(model, 1.0), "search", 0).noise, feature_map(model)
    reference = features(noise(1000, 100)[0]).double()
    target = FrechetTarget(features, reference.mean(0), reference.T.cov())
    common = model, noise, target, make_space("whole", START), 1.0
    theta, batch = SampledDistance(*common).point(1.0), SampledDistance(*common).batch(0, 64)
    _, exact, gradient = SampledDistance(*common).slope(theta, batch)
    _, value, short = SampledDistance(*common, precision).slope(theta, batch)
    assert value != exact and value == pytest.approx(exact, rel=0.05)
    assert float((short - gradient).norm()) < 0.1 * float(gradient.norm())


def test_a_chunk_shrinks_as_steps_are_added(make, counted, target):
    table = classical_table("ab2", make_grid("uniform", 20))
    longer = SampledDistance(counted, make().noise, target, make_space("whole", table), 1.0)
    sizes = [len(one.batch(0, 1000)[0][0]) * one.nfe for one in (make(), longer)]
    assert sizes == [999, 1000]


@pytest.mark.parametrize(("guidance", "per_sample"), [(1.0, 3), (2.0, 6), ((1.0, 2.0, 1.0), 4)])
def test_evaluations_are_the_calls_of_the_model_and_two_for_each_backward(
    make, counted, guidance, per_sample
):
    distance = make(guidance)
    distance.value(distance.point(guidance), distance.batch(0, 50))
    assert counted.samples == sum(m.evaluations for m in distance.meters) == 50 * per_sample
    distance.slope(distance.point(guidance), distance.batch(0, 50))
    backward = 2 * 50 * per_sample
    assert sum(m.evaluations for m in distance.meters) == counted.samples + backward


def test_points_without_a_table_are_infinitely_far(make):
    distance = make()
    theta = distance.point(1.0)
    assert distance.value(theta * torch.nan, distance.batch(0, 10)) == float("inf")
    assert distance.value(theta * 1e300, distance.batch(0, 10)) == float("inf")
