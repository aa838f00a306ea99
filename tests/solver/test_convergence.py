"""The step count converges, knows its error, ends at rounding and refuses what is not smooth."""

import math
from functools import cache

import pytest
import torch

from dss_ray.errors import ConvergenceError, UsageError
from dss_ray.models.gaussian import GaussianMixture, plane
from dss_ray.solver.convergence import STEPS, converged_steps
from dss_ray.solver.reference import reference_table
from dss_ray.solver.sampling import sample

START = torch.randn(16, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABEL = torch.arange(16) % 4
MEAN, SPREAD = torch.tensor([[1.5, -0.5]], dtype=torch.float64), 0.3


class Wave:
    """x' = x cos(6 t), x(t) = x(0) exp(sin(6 t) / 6)."""

    def __call__(self, x, t, _):
        return x * torch.cos(6 * t)

    def exact(self, x):
        return x * math.exp(math.sin(6) / 6)


class OneGaussian(GaussianMixture):
    """The flow to one Gaussian ends at mean + spread x(0)."""

    def __init__(self):
        super().__init__(torch.ones(1), MEAN, torch.tensor([SPREAD**2]))

    def __call__(self, x, t, _):
        return super().__call__(x, t, None)

    def exact(self, x):
        return MEAN + SPREAD * x


class Plane:
    """Four Gaussians in the plane."""

    def __call__(self, x, t, label):
        return plane()(x, t, label)

    def exact(self, x):
        """By the classical Runge-Kutta method, independent of the package's loop."""
        h = torch.tensor(1 / 500, dtype=torch.float64)
        for i in range(500):
            t = i * h
            one = self(x, t, LABEL)
            two = self(x + h / 2 * one, t + h / 2, LABEL)
            three = self(x + h / 2 * two, t + h / 2, LABEL)
            four = self(x + h * three, (t + h).clamp(max=1), LABEL)
            x = x + h / 6 * (one + 2 * two + 2 * three + four)
        return x


WAVE = Wave()
FIELDS = [WAVE, OneGaussian(), Plane()]


def ends(field, start=START):
    """The end states by step count, each solved once."""
    return cache(lambda count: sample(field, TABLE(count, 0, 1), start, LABEL))


TABLE = cache(reference_table)
EXACT, SINGLE = (
    {field: ends(field, start) for field in FIELDS} for start in (START, START.float())
)


@cache
def truth(field):
    return field.exact(START)


def true_error(field, end):
    exact = truth(field)
    return float((end - exact).square().mean().sqrt() / exact.square().mean().sqrt())


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("field", FIELDS)
def test_the_estimate_lies_between_the_true_error_and_the_tolerance(field, tolerance):
    found = converged_steps(EXACT[field], tolerance)
    assert true_error(field, EXACT[field](found.steps)) <= found.error <= tolerance


@pytest.mark.parametrize("field", FIELDS)
def test_in_float32_it_ends_at_rounding_and_says_how_large_that_is(field):
    found = converged_steps(SINGLE[field], 0.0)
    assert found.steps < STEPS[-1]
    assert true_error(field, SINGLE[field](found.steps)) <= found.error < 2e-6
    assert found == converged_steps(SINGLE[field], 1e-9)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_where_the_models_own_rounding_ends_the_fall_the_error_is_known_within_two(bits):
    def rounded(x, t, label):
        return (WAVE(x, t, label) * 2**bits).round() / 2**bits

    found = converged_steps(ends(rounded), 0.0)
    assert true_error(WAVE, ends(rounded)(found.steps)) <= 2 * found.error < 2.0**-bits
    assert bits != 12 or found.steps < STEPS[-1]


def test_what_still_falls_at_the_last_count_is_taken_with_its_error():
    found = converged_steps(EXACT[WAVE], 0.0)
    assert found.steps == STEPS[-1] == found.tried[-1]
    assert true_error(WAVE, EXACT[WAVE](640)) <= found.error < 1e-7


@pytest.mark.parametrize("field", FIELDS)
def test_a_smaller_tolerance_or_more_steps_asked_for_never_end_at_fewer(field):
    steps = [converged_steps(SINGLE[field], 10.0**-i).steps for i in range(2, 14)]
    assert steps == sorted(steps)
    steps = [converged_steps(EXACT[field], 1e-3, fewest).steps for fewest in range(0, 641, 40)]
    assert steps == sorted(steps)


@pytest.mark.parametrize("fewest", [1, 20, 21, 40, 41, 79, 80, 200, 321, 640])
@pytest.mark.parametrize("tolerance", [1.0, 1e-3, 0.0])
def test_no_count_is_below_the_fewest_or_solved_twice(fewest, tolerance):
    solved = []
    found = converged_steps(
        lambda count: solved.append(count) or SINGLE[WAVE](count), tolerance, fewest
    )
    assert found.steps >= fewest
    assert found.tried == tuple(solved) == tuple(sorted(set(solved)))


def test_more_steps_than_there_are_is_an_error():
    with pytest.raises(UsageError, match="at most 640 steps"):
        converged_steps(EXACT[WAVE], 1e-3, 641)


def test_a_velocity_that_stands_still_needs_the_fewest_steps():
    for start in (START, torch.zeros(1)):
        found = converged_steps(ends(lambda x, *_: 0 * x, start), 0.0)
        assert (found.steps, found.error < 2e-6) == (40, True)


class Jumping:
    """Of unforeseeable sign in time."""

    def __call__(self, x, t, _):
        return 40 * torch.sin(5e4 * t * t).sign() + 0 * x


class Noisy:
    """Another velocity at every call, like a network in train mode."""

    def __call__(self, x, *_):
        return x + torch.randn_like(x)


class Exploding:
    """Finite, but so steep that no step count resolves it."""

    def __call__(self, x, t, _):
        return 1e4 * torch.sin(1e4 * x)


@pytest.mark.parametrize("field", [Jumping(), Noisy(), Exploding()])
def test_a_velocity_that_no_step_count_resolves_is_an_error(field):
    for start in (START, START.float()):
        with pytest.raises(ConvergenceError, match=r"640 steps .*smooth in time"):
            converged_steps(ends(field, start), 1e-6)


def test_after_a_jump_in_time_the_estimate_still_bounds_the_error():
    def stepped(x, t, _):
        return x * (t < 0.37)

    found = converged_steps(ends(stepped), 5e-3)
    off = float(ends(stepped)(found.steps).div(START * math.exp(0.37)).sub(1).abs().max())
    assert off <= 2 * found.error
