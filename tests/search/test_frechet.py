from dataclasses import replace
from functools import partial

import pytest
import torch

from dss_ray.errors import DivergedError
from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.statistics import Statistics
from dss_ray.models.gaussian import GaussianMixture
from dss_ray.models.guidance import guide, guide_steps
from dss_ray.models.teacher import Teacher
from dss_ray.search.bures import FrechetTarget
from dss_ray.search.frechet import frechet
from dss_ray.search.frechet_descent import HELD_OUT
from dss_ray.search.result import SearchSettings
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample

START = classical_table("ab2", make_grid("uniform", 3))
QUICK = SearchSettings(iterations=3, batch_size=400)


def features(states):
    """Both coordinates and a square, so that a class in the wrong place shows."""
    return torch.cat([states, states.square().sum(1, keepdim=True)], 1)


@pytest.fixture(scope="module")
def target(oracle):
    """What the oracle's converged samples are like."""
    ends = Teacher(guide(oracle, 1.0), "selection", 0).ends(0, 4000)
    found = Statistics.of(features(ends))
    return FrechetTarget(features, found.mean, found.covariance)


def noise_of(model, seed=0):
    return Teacher(guide(model, 1.0), "search", seed).noise


def distance_of(model, table, guidance, target, domain="search"):
    noise, label = Teacher(guide(model, 1.0), domain, 0).noise(0, HELD_OUT)
    ends = sample(guide_steps(model, guidance, table.nfe), table, noise, label)
    reference = Statistics(2, target.mean, target.covariance)
    return frechet_distance(Statistics.of(target.features(ends)), reference)


def test_the_distance_on_noise_of_another_domain_falls(oracle, target):
    found = frechet(oracle, noise_of(oracle), target, START, QUICK)
    before, after = (
        distance_of(oracle, table, 1.0, target, "selection") for table in (START, found.table)
    )
    assert after < 0.5 * before
    assert found.guidance == 1.0


def test_the_same_noise_gives_the_same_table(oracle, target):
    one, two = (frechet(oracle, noise_of(oracle), target, START, QUICK) for _ in range(2))
    assert one.table.to_json() == two.table.to_json()
    other = frechet(oracle, noise_of(oracle, seed=1), target, START, QUICK)
    assert other.table.to_json() != one.table.to_json()


def test_scales_are_searched_with_the_table(oracle, target):
    settings = SearchSettings(iterations=4, batch_size=1200, guidance_rate=1.0)
    found = frechet(oracle, noise_of(oracle), target, START, settings, guidance=1.5)
    assert isinstance(found.guidance, tuple)
    assert len(set(found.guidance)) == 3
    before = distance_of(oracle, START, 1.5, target)
    assert distance_of(oracle, found.table, found.guidance, target) < 0.5 * before


def test_the_history_is_the_held_out_distance_from_the_start_on(oracle, target):
    found = frechet(oracle, noise_of(oracle), target, START, QUICK, guidance=1.5)
    assert found.history[0][1] == pytest.approx(distance_of(oracle, START, 1.5, target), rel=1e-5)
    least = min(value for _, value in found.history)
    reached = distance_of(oracle, found.table, 1.5, target)
    assert reached < 1.001 * least
    assert [number for number, _ in found.history] == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tiny_batches_never_end_worse_than_the_start(oracle, target, seed):
    good = frechet(oracle, noise_of(oracle), target, START, QUICK).table
    noisy = SearchSettings(iterations=4, batch_size=8)
    found = frechet(oracle, noise_of(oracle, seed), target, good, noisy)
    noise, label = noise_of(oracle, seed)(0, HELD_OUT)
    reached, before = (
        float(target.distance(features(sample(guide(oracle, 1.0), table, noise, label)).double()))
        for table in (found.table, good)
    )
    assert reached <= before * (1 + 1e-6)


def test_a_start_that_cannot_be_bettered_is_returned_itself(oracle):
    noise, label = noise_of(oracle)(0, HELD_OUT)
    own = Statistics.of(sample(guide(oracle, 1.0), START, noise, label))
    target = FrechetTarget(lambda states: states, own.mean, own.covariance)
    assert frechet(oracle, noise_of(oracle), target, START, QUICK).table is START


def test_scales_near_one_become_one_where_that_costs_nothing():
    """The classes of this model are alike, so guidance changes nothing."""
    means, classes = torch.zeros(2, 2), torch.arange(2)
    model = GaussianMixture(torch.ones(2), means, torch.full((2,), 0.3), classes)
    target = FrechetTarget(lambda states: states, torch.zeros(2).double(), torch.eye(2).double())
    settings = SearchSettings(iterations=1, batch_size=64, guidance_rate=1.0)
    start = (1.02, 1.5, 0.97)
    found = frechet(model, noise_of(model), target, START, settings, guidance=start)
    assert found.guidance == (1.0, pytest.approx(1.5), 1.0)
    alike = frechet(model, noise_of(model), target, START, settings, guidance=(1.0, 1.02, 0.98))
    assert alike.guidance == 1.0


def test_fewer_samples_than_features_still_descend(oracle):
    """Ninety features of forty samples: the batch's covariance is singular."""
    frequencies = torch.randn(2, 90, generator=torch.Generator().manual_seed(0))
    waves = lambda states: (states @ frequencies).sin()  # noqa: E731
    ends = Statistics.of(waves(Teacher(guide(oracle, 1.0), "selection", 0).ends(0, 2000)))
    target = FrechetTarget(waves, ends.mean, ends.covariance)
    settings = SearchSettings(iterations=4, batch_size=40)
    found = frechet(oracle, noise_of(oracle), target, START, settings)
    assert found.table is not START


@pytest.mark.parametrize("broken", ["model", "features"])
def test_nan_is_a_divergence(oracle, target, broken):
    spoilt = lambda states: features(states) * torch.nan  # noqa: E731
    model, aim = oracle, replace(target, features=spoilt)
    if broken == "model":
        model, aim = Spoilt(oracle), target
    with pytest.raises(DivergedError, match="NaN or infinity in the features"):
        frechet(model, noise_of(oracle), aim, START, QUICK)


class Spoilt:
    """The oracle, but NaN in the second half of time."""

    def __init__(self, model):
        self.model = model

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, x, t, label):
        return self.model(x, t, label) * (torch.nan if t > 0.5 else 1)


def test_progress_counts_iterations(oracle, target):
    told = []
    settings = SearchSettings(iterations=2, batch_size=16)
    frechet(oracle, noise_of(oracle), target, START, settings, progress=lambda *at: told.append(at))
    assert told == [(0, 2), (1, 2)]


@pytest.mark.parametrize("rate", [0.0, 1.0])
@pytest.mark.parametrize("stop", [1, 3, 4, 5])  # before and after the last whole step, at the end
def test_an_interrupted_search_goes_on_bit_for_bit(memory, oracle, target, stop, rate):
    settings = SearchSettings(iterations=5, batch_size=100, guidance_rate=rate)
    search = partial(frechet, oracle, noise_of(oracle), target, START, settings, guidance=1.5)
    journal, told = memory(stop), []
    with pytest.raises(KeyboardInterrupt):
        search(journal=journal)
    resumed, whole = search(journal=journal, progress=lambda *at: told.append(at)), search()
    assert told == [(iteration, 5) for iteration in range(stop, 5)]
    assert resumed.table.to_json() == whole.table.to_json()
    assert (resumed.guidance, resumed.history) == (whole.guidance, whole.history)
    assert resumed.evaluations == whole.evaluations


def test_a_search_that_has_stopped_stays_stopped_when_it_is_resumed(memory, oracle, target):
    """Tiny batches after a good start: the held-out distance soon falls no more."""
    good = frechet(oracle, noise_of(oracle), target, START, QUICK).table
    settings = SearchSettings(iterations=20, batch_size=8)
    search = partial(frechet, oracle, noise_of(oracle), target, good, settings)
    journal = memory(-1)
    whole = search(journal=journal)
    assert len(whole.history) < 21
    told = []
    again = search(journal=journal, progress=lambda *at: told.append(at))
    assert told == []
    assert again.history == whole.history
