"""On random mixtures of many Gaussians every method beats every classical solver, held out.

Components are wider than in the sharp mixtures of ``test_run``: where modes are so sharp that a few
samples in a thousand fall to the wrong one, these carry nearly all of the square error, and no
affordable number of samples tells which of two solvers is better.
"""

import random
from functools import cache, partial

import pytest
import torch

from dss_ray.models.gaussian import GaussianMixture
from dss_ray.models.guidance import guide
from dss_ray.models.teacher import Teacher
from dss_ray.search.result import SearchSettings
from dss_ray.search.run import DEFAULT_METHOD, run_search
from dss_ray.solver.classical import baseline_tables
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample

GRIDS = ("uniform", "cosine", "shift:1.5", "power:1:1.4", "flow-respacing")


@cache
def many_modes(seed):
    """Eight to 24 random Gaussians in two to six dimensions."""
    draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    count, size = draw.randint(8, 24), draw.randint(2, 6)
    normal = partial(torch.randn, generator=generator, dtype=torch.float64)
    means, factors = 1.5 * normal(count, size), 0.3 * normal(count, size, size)
    covariances = factors @ factors.mT + draw.uniform(0.05, 0.2) * torch.eye(size).double()
    return GaussianMixture(torch.rand(count, generator=generator) + 0.2, means, covariances)


@cache
def trajectories(seed, domain, count):
    """Start states and converged end states of the mixture of that seed."""
    teacher = Teacher(guide(many_modes(seed), 1.0), domain, seed, tolerance=1e-4)
    return teacher.noise(0, count)[0], teacher.ends(0, count)


def error(seed, table, domain="selection", count=1000):
    """Distance to the converged end states, by default on noises that no search has seen."""
    noise, end = trajectories(seed, domain, count)
    with torch.no_grad():
        reached = sample(many_modes(seed), table, noise, None)
    return float((reached - end).square().mean().sqrt())


@cache
def classical(seed, nfe):
    """All classical solvers: (grid, name) -> table."""
    tables = {grid: baseline_tables(make_grid(grid, nfe)) for grid in GRIDS}
    return {(grid, name): table for grid in GRIDS for name, table in tables[grid].items()}


def best_start(seed, nfe):
    """Grid and name of the classical solver that is best on 256 noises of the search."""
    tables = classical(seed, nfe)
    return min(tables, key=lambda place: error(seed, tables[place], "search", 256))


def assert_beats_all(found, seed, nfe):
    reached = error(seed, found.table)
    assert reached < min(error(seed, table) for table in classical(seed, nfe).values())


SCREENING = ("least-squares", DEFAULT_METHOD)  # these look for their start themselves
LOCAL = {  # these improve a start
    "gauss-newton": SearchSettings(samples=1024),
    "gradient": SearchSettings(samples=1024, iterations=100, batch_size=256, learning_rate=0.01),
}


def beats_all(method, seed, nfe):
    """Search by ``method``, a local one from the best classical solver, and compare."""
    if method in SCREENING:
        settings, place = SearchSettings(samples=1024, seed=seed), {}
    else:
        grid, start = best_start(seed, nfe)
        settings, place = LOCAL[method], {"grid": grid, "start": start}
    found = run_search(many_modes(seed), nfe, method=method, settings=settings, **place)
    assert_beats_all(found, seed, nfe)


@pytest.mark.parametrize(("seed", "nfe"), [(0, 3), (1, 5), (1, 8)])
@pytest.mark.parametrize("method", [*SCREENING, *LOCAL])
def test_every_method_beats_every_classical_solver(method, seed, nfe):
    beats_all(method, seed, nfe)


CASES = [(method, (n + 1) % 2, n) for method in (*SCREENING, *LOCAL) for n in range(3, 11)]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "seed", "nfe"), CASES)
def test_every_method_beats_every_classical_solver_at_every_step_count(method, seed, nfe):
    beats_all(method, seed, nfe)


@pytest.mark.slow
def test_the_papers_recipe_beats_every_classical_solver_of_five_queries():
    assert_beats_all(run_search(many_modes(0), 5, method="paper"), 0, 5)
