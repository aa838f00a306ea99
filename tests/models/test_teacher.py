"""The teacher: its noises, its cache and its costs."""

import pytest
import torch

from dss_ray.errors import DivergedError
from dss_ray.models.gaussian import plane
from dss_ray.models.guidance import guide
from dss_ray.models.noise import DOMAINS
from dss_ray.models.teacher import TOLERANCE, Teacher
from dss_ray.solver.reference import reference_table
from dss_ray.solver.sampling import sample


class Counted:
    """A model that counts the samples it is called on."""

    def __init__(self, model):
        self.model, self.samples = model, 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, x, t, label):
        self.samples += len(x)
        return self.model(x, t, label)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path))
    return tmp_path


def teacher(model=None, domain="search", seed=0, guidance=1.0, span=None):
    return Teacher(guide(model or plane(), guidance), domain, seed, span)


def test_domains_and_seeds_share_no_noise():
    noises = torch.cat(
        [
            teacher(domain=domain, seed=seed).noise(0, 200)[0]
            for domain in DOMAINS
            for seed in (0, 1)
        ]
    )
    assert len(noises.unique(dim=0)) == len(noises) == 1200


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_the_evaluations_are_those_made_and_stay_known_when_the_cache_serves(guidance):
    model, count = Counted(plane()), 300
    reference, seconds, evaluations = teacher(model, guidance=guidance).reference(count)
    assert len(reference) == count
    assert model.samples == evaluations
    model.samples = 0
    again, seconds_again, evaluations_again = teacher(model, guidance=guidance).reference(count)
    assert model.samples == 0
    assert (seconds_again, evaluations_again) == (seconds, evaluations)
    assert seconds > 0
    assert torch.equal(again.states, reference.states)
    assert torch.equal(again.velocities, reference.velocities)
    assert torch.equal(again.label, reference.label)


def test_its_error_bounds_the_distance_to_a_much_finer_solution_and_keeps_the_tolerance():
    judge, oracle = teacher(), plane()
    noise, label = judge.noise(0, 64)
    exact = sample(oracle, reference_table(800, 0, 1), noise.double(), label)
    off = (judge.ends(0, 64) - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert float(off) <= judge.error <= TOLERANCE


def test_end_states_are_those_of_the_dense_trajectories_whatever_the_chunks():
    reference, _, _ = teacher().reference(300)
    ends = torch.cat([teacher().ends(0, 100), teacher().ends(100, 200)])
    torch.testing.assert_close(ends, reference.end, atol=1e-5, rtol=0)
    assert torch.equal(reference.noise, teacher().noise(0, 300)[0])


def test_guidance_span_domain_and_seed_each_have_their_own_entry():
    ends = [
        chosen.ends(0, 4)
        for chosen in (
            teacher(),
            teacher(guidance=1.5),
            teacher(span=(0.0, 0.9)),
            teacher(domain="selection"),
            teacher(seed=1),
        )
    ]
    assert all(not torch.equal(a, b) for i, a in enumerate(ends) for b in ends[:i])


def test_it_starts_from_the_noise_that_the_model_has_at_the_first_knot():
    model = Counted(plane())
    model.noise_scale = lambda t: 1 - t
    plain, _ = teacher().noise(3, 5)
    assert torch.equal(teacher(model, span=(0.25, 1.0)).noise(3, 5)[0], plain * 0.75)


class BrokenLate:
    """A model that is sound on the samples that the step count is found with, and on no others."""

    def __init__(self):
        self.model = plane()
        self.sound = teacher().noise(0, 32)[0]

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, x, t, label):
        velocity = self.model(x, t, label)
        return velocity if len(x) == 32 else velocity.log()


def test_a_diverged_trajectory_is_an_error_and_is_not_cached(folder):
    late = teacher(BrokenLate())
    assert late.error <= TOLERANCE
    entries = set(folder.glob("*.safetensors"))
    with pytest.raises(DivergedError, match="NaN"):
        late.reference(40)
    with pytest.raises(DivergedError, match="NaN"):
        late.ends(0, 40)
    assert set(folder.glob("*.safetensors")) == entries
