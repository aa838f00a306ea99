"""The reference converges to exact solutions, knows its error, and interpolates to fourth order."""

import math

import pytest
import torch

from dss_ray.errors import ConvergenceError, DivergedError
from dss_ray.models.gaussian import GaussianMixture, plane
from dss_ray.solver.reference import (
    Reference,
    converged_steps,
    reference_table,
    solve_reference,
)
from dss_ray.solver.sampling import sample

START = torch.randn(16, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
MEAN, SPREAD = torch.tensor([[1.5, -0.5]], dtype=torch.float64), 0.3


class Wave:
    """x' = x cos(6 t), x(t) = x(0) exp(sin(6 t) / 6)."""

    def __call__(self, x, t, _):
        return x * torch.cos(6 * t)

    def exact(self, x, t):
        return x * math.exp(math.sin(6 * t) / 6)


class OneGaussian(GaussianMixture):
    """The flow to one Gaussian is t mean + sqrt(t^2 spread^2 + (1 - t)^2) x(0)."""

    def __init__(self):
        super().__init__(torch.ones(1), MEAN, torch.tensor([SPREAD**2]))

    def exact(self, x, t):
        return t * MEAN + math.hypot(t * SPREAD, 1 - t) * x


def runge_kutta(velocity, x, label, count):
    """Classical Runge-Kutta of order four, independent of the package's loop."""
    h = torch.tensor(1 / count, dtype=torch.float64)
    for i in range(count):
        t = i * h
        one = velocity(x, t, label)
        two = velocity(x + h / 2 * one, t + h / 2, label)
        three = velocity(x + h / 2 * two, t + h / 2, label)
        four = velocity(x + h * three, (t + h).clamp(max=1), label)
        x = x + h / 6 * (one + 2 * two + 2 * three + four)
    return x


def relative(error, end):
    return float((error.square().mean() / end.square().mean()).sqrt())


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("field", [Wave(), OneGaussian()])
def test_the_error_estimate_lies_between_the_true_error_and_the_tolerance(field, tolerance):
    count, error, _ = converged_steps(field, START, None, 0.0, 1.0, tolerance=tolerance)
    end, exact = sample(field, reference_table(count, 0, 1), START), field.exact(START, 1)
    assert relative(end - exact, exact) <= error <= tolerance


def test_on_the_gaussian_mixture_the_estimate_bounds_the_distance_to_fine_runge_kutta():
    oracle, label = plane(), torch.arange(16) % 4
    exact = runge_kutta(oracle, START, label, 500)
    for tolerance in (1e-2, 1e-3, 1e-4):
        count, error, _ = converged_steps(oracle, START, label, 0.0, 1.0, tolerance=tolerance)
        end = sample(oracle, reference_table(count, 0, 1), START, label)
        assert relative(end - exact, exact) <= error <= tolerance


@pytest.mark.parametrize("field", [Wave(), OneGaussian()])
def test_all_times_of_the_dense_reference_lie_on_the_exact_solution(field):
    reference = solve_reference(field, START, None, reference_table(320, 0, 1))
    for time in torch.linspace(0, 1, 77, dtype=torch.float64):
        torch.testing.assert_close(
            reference.at(time), field.exact(START, float(time)), atol=2e-5, rtol=0
        )


def on_curve(curve, slope, times):
    """A reference of one one-dimensional sample that follows ``curve``."""
    return Reference(times, curve(times)[:, None, None], slope(times)[:, None, None], None)


def test_interpolation_is_exact_for_cubics_and_so_is_its_gradient_in_time():
    times = torch.tensor([0.0, 0.1, 0.45, 0.5, 1.0], dtype=torch.float64)
    curve, slope = lambda t: 2 * t**3 - t**2 + 3 * t - 1, lambda t: 6 * t**2 - 2 * t + 3
    reference = on_curve(curve, slope, times)
    for value in (0.0, 0.03, 0.1, 0.3, 0.47, 0.5, 0.9, 1.0):
        time = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        state = reference.at(time)
        state.sum().backward()
        assert float(state.detach()) == pytest.approx(curve(value), abs=1e-13)
        assert float(time.grad) == pytest.approx(slope(value), abs=1e-12)


def test_interpolation_is_of_fourth_order():
    places = torch.linspace(0, 1, 501, dtype=torch.float64)
    errors = []
    for count in (8, 16, 32):
        times = torch.linspace(0, 1, count + 1, dtype=torch.float64)
        reference = on_curve(lambda t: (5 * t).sin(), lambda t: 5 * (5 * t).cos(), times)
        errors.append(max(abs(float(reference.at(t)) - math.sin(5 * t)) for t in places))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(4, abs=0.2)


def test_a_field_that_is_not_smooth_does_not_converge():
    def jumping(x, t, _):
        return 40 * torch.sin(5e4 * t * t).sign() + 0 * x

    with pytest.raises(ConvergenceError, match="640 steps"):
        converged_steps(jumping, START, None, 0.0, 1.0, tolerance=1e-6)


def test_nan_in_the_field_is_an_error():
    def broken(x, *_):
        return x.log()

    with pytest.raises(DivergedError, match="NaN"):
        converged_steps(broken, START, None, 0.0, 1.0, tolerance=1e-3)
    with pytest.raises(DivergedError, match="NaN"):
        solve_reference(broken, START, None, reference_table(20, 0, 1))


def test_nan_at_the_last_time_alone_is_an_error_of_the_dense_reference():
    def singular(x, t, _):
        return x / (1 - t) * (1 - t)

    with pytest.raises(DivergedError, match="NaN"):
        solve_reference(singular, START, None, reference_table(20, 0, 1))


def test_the_evaluations_reported_are_those_made():
    times = []

    def counted(x, t, _):
        times.append(float(t))
        return x * torch.cos(6 * t)

    count, _, spent = converged_steps(counted, START, None, 0.0, 1.0, tolerance=1e-4)
    assert len(times) == spent >= 20 + count
    times.clear()
    solve_reference(counted, START, None, reference_table(40, 0, 1))
    assert len(times) == 41


def test_batches_go_round_and_round():
    label = torch.arange(16)
    reference = solve_reference(Wave(), START, label, reference_table(20, 0, 1))
    assert reference.batch(2, 7).label.tolist() == [14, 15, 0, 1, 2, 3, 4]
    assert torch.equal(reference.batch(2, 7).noise, START[[14, 15, 0, 1, 2, 3, 4]])
    assert torch.equal(reference.batch(5, 99).end, reference.end)
