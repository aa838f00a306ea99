"""The teacher: its noises, its cache, its accuracy and its costs."""

import math
import multiprocessing

import pytest
import torch

from dss_ray.errors import ConvergenceError, DivergedError, UsageError
from dss_ray.models.gaussian import plane
from dss_ray.models.guidance import guide
from dss_ray.models.noise import DOMAINS
from dss_ray.models.teacher import BLOCK, Teacher
from dss_ray.solver.convergence import TOLERANCE
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


def equal(one, other):
    """Whether two references hold the same bits."""
    return torch.equal(one.label, other.label) and all(
        torch.equal(a[index], b[index])
        for a, b in ((one.states, other.states), (one.velocities, other.velocities))
        for index in range(len(one.times))
    )


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("count", [1, BLOCK, 300])
def test_the_evaluations_are_those_made_and_stay_known_when_the_cache_serves(guidance, count):
    model = Counted(plane())
    reference, seconds, evaluations = teacher(model, guidance=guidance).reference(count)
    assert len(reference) == count
    assert model.samples == evaluations
    model.samples = 0
    again, seconds_again, evaluations_again = teacher(model, guidance=guidance).reference(count)
    assert model.samples == 0
    assert (seconds_again, evaluations_again) == (seconds, evaluations)
    assert seconds > 0
    assert equal(again, reference)


def test_all_counts_share_their_samples():
    model = Counted(plane())
    large, *_ = teacher(model).reference(256)
    model.samples = 0
    for count in (1, 31, 32, 33, 200):
        small, *_ = teacher(model).reference(count)
        assert len(small) == count
        assert equal(small, large.batch(0, count))
    assert model.samples == 0
    *_, evaluations = teacher(model).reference(1024)
    assert model.samples == 768 * len(large.times) < evaluations


def test_teachers_share_all_that_is_as_fine_as_they_want():
    model = Counted(plane())
    coarse = teacher(model)
    coarse.reference(64)
    fine = coarse.refined(1e-6)
    model.samples = 0
    fine.reference(64)
    tried = [steps for steps in fine.convergence.tried if steps not in coarse.convergence.tried]
    assert fine.steps in tried
    assert model.samples == 32 * sum(steps + 1 for steps in tried) + 32 * (fine.steps + 1)
    model.samples = 0
    coarse.refined(3e-6, fewest=fine.steps).reference(64)
    assert model.samples == 0


def off(judge):
    """How far it is from a much finer solution in float64."""
    noise, label = judge.noise(0, 64)
    exact = sample(plane(), reference_table(800, 0, 1), noise.double(), label)
    return float((judge.ends(0, 64) - exact).square().mean().sqrt() / exact.square().mean().sqrt())


@pytest.mark.parametrize("tolerance", [TOLERANCE, 1e-4, 1e-5, 2e-6])
def test_its_error_bounds_the_distance_to_a_much_finer_solution(tolerance):
    judge = teacher().refined(tolerance)
    assert off(judge) <= judge.error <= tolerance


def test_a_tolerance_below_rounding_ends_there_with_the_error_known():
    judge = teacher().refined(0.0)
    assert judge.steps < 640
    assert off(judge) <= judge.error < 2e-6


def test_refined_is_never_coarser():
    fine = teacher().refined(1e-5, fewest=200)
    assert (fine.error < 1e-5, fine.steps) == (True, 320)
    assert fine.refined(1.0, fewest=4) == fine
    with pytest.raises(UsageError, match="640 steps"):
        _ = fine.refined(1e-3, fewest=1000).steps


def test_it_tells_how_far_it_has_come_and_what_is_there_at_once():
    for _ in range(2):
        told: list[tuple[int, int]] = []
        teacher().reference(100, lambda *place, told=told: told.append(place))
        assert told == [(32, 100), (64, 100), (96, 100), (100, 100)]


def want(calls, results):
    model = Counted(plane())
    reference, *_ = teacher(model).reference(256)
    calls.put(model.samples)
    results.put(float(reference.end.double().sum()))


def test_processes_that_want_the_same_samples_solve_them_once():
    context = multiprocessing.get_context("fork")
    calls, results = context.Queue(), context.Queue()
    processes = [context.Process(target=want, args=(calls, results)) for _ in range(3)]
    for process in processes:
        process.start()
    spent = sum(calls.get(timeout=60) for _ in processes)
    ends = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    reference, _, evaluations = teacher().reference(256)
    assert spent == evaluations
    assert ends == {float(reference.end.double().sum())}


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


def test_an_unconditional_model_has_no_labels():
    model = Counted(plane())
    model.num_classes = None
    for _ in range(2):
        reference, *_ = teacher(model).reference(40)
        assert reference.label is None
        assert reference.batch(1, 8).label is None
    assert not torch.equal(reference.end, teacher().reference(40)[0].end)


def test_it_starts_from_the_noise_that_the_model_has_at_the_first_knot():
    model = Counted(plane())
    model.noise_scale = lambda t: 1 - t
    plain, _ = teacher().noise(3, 5)
    assert torch.equal(teacher(model, span=(0.25, 1.0)).noise(3, 5)[0], plain * 0.75)


class Broken:
    """A model that is sound on the first block of samples, and on no others."""

    def __init__(self, value):
        self.model, self.value = plane(), value
        self.sound, self.added = teacher().noise(0, BLOCK)[0], 0.0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, x, t, label):
        if t == 0:
            self.added = 0.0 if torch.equal(x, self.sound) else self.value
        return self.model(x, t, label) + self.added


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_diverged_trajectory_is_an_error_and_is_not_cached(folder, value):
    late = teacher(Broken(value))
    assert late.error <= TOLERANCE
    entries = set(folder.glob("*.safetensors"))
    with pytest.raises(DivergedError, match="NaN"):
        late.reference(40)
    with pytest.raises(DivergedError, match="NaN"):
        late.ends(0, 40)
    assert set(folder.glob("*.safetensors")) == entries


class Rough:
    """A model whose velocity jumps in time too often for any step count."""

    def __init__(self):
        self.model = plane()

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, x, t, label):
        return self.model(x, t, label) + 40 * torch.sin(5e4 * t * t).sign()


def test_a_velocity_that_does_not_converge_is_an_error_each_time():
    for _ in range(2):
        with pytest.raises(ConvergenceError, match="smooth in time"):
            teacher(Rough()).reference(40)
        with pytest.raises(ConvergenceError, match="smooth in time"):
            teacher(Rough()).ends(0, 40)
