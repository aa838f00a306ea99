"""The dense reference lies on exact solutions, between its knots too, in blocks and batches."""

import math

import pytest
import torch

from dss_ray.errors import DivergedError
from dss_ray.models.gaussian import GaussianMixture
from dss_ray.solver.reference import Knots, Reference, reference_table, solve_reference

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


@pytest.mark.parametrize("field", [Wave(), OneGaussian()])
def test_all_times_of_the_dense_reference_lie_on_the_exact_solution(field):
    reference = solve_reference(field, START, None, reference_table(320, 0, 1))
    for time in torch.linspace(0, 1, 77, dtype=torch.float64):
        torch.testing.assert_close(
            reference.at(time), field.exact(START, float(time)), atol=2e-5, rtol=0
        )


def knots(*blocks):
    return Knots(blocks, torch.device("cpu"))


def on_curve(curve, slope, times):
    """A reference of one one-dimensional sample that follows ``curve``."""
    states, velocities = (knots(values(times)[:, None, None]) for values in (curve, slope))
    return Reference(times, states, velocities, None)


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


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("first", [0.0, 0.5, 0.99])
def test_nan_or_infinity_in_the_field_is_an_error(broken, first):
    def field(x, t, _):
        return x + (broken if t >= first else 0.0)

    with pytest.raises(DivergedError, match="NaN or infinity"):
        solve_reference(field, START, None, reference_table(20, 0, 1))


def test_nan_at_the_last_time_alone_is_an_error_of_the_dense_reference():
    def singular(x, t, _):
        return x / (1 - t) * (1 - t)

    with pytest.raises(DivergedError, match="NaN"):
        solve_reference(singular, START, None, reference_table(20, 0, 1))


def test_it_makes_one_evaluation_a_knot():
    times = []

    def counted(x, t, _):
        times.append(float(t))
        return x * torch.cos(6 * t)

    reference = solve_reference(counted, START, None, reference_table(40, 0, 1))
    assert times == pytest.approx(reference.times.tolist())


def test_a_batch_holds_the_samples_of_its_place_round_and_round():
    label = torch.arange(16)
    whole = solve_reference(Wave(), START, label, reference_table(20, 0, 1))
    time = torch.tensor(0.37)
    for size in (1, 3, 7, 16, 99):
        for index in range(9):
            batch = whole.batch(index, size)
            pick = torch.arange(index * size, (index + 1) * size) % 16 if size < 16 else label
            assert torch.equal(batch.label, pick)
            assert torch.equal(batch.noise, START[pick])
            assert torch.equal(batch.end, whole.end[pick])
            assert torch.equal(batch.at(time), whole.at(time)[pick])


def in_blocks(reference, *sizes):
    states, velocities = (
        knots(*values.blocks[0].split(sizes, dim=1))
        for values in (reference.states, reference.velocities)
    )
    return Reference(reference.times, states, velocities, reference.label)


@pytest.mark.parametrize("sizes", [(16,), (5, 11), (4, 4, 4, 4), (1, 2, 13)])
def test_blocks_of_samples_read_as_one(sizes):
    whole = solve_reference(Wave(), START, torch.arange(16), reference_table(20, 0, 1))
    blocks = in_blocks(whole, *sizes)
    assert len(blocks) == 16
    for index, size in ((0, 16), (0, 3), (1, 5), (3, 7), (11, 13)):
        one, other = whole.batch(index, size), blocks.batch(index, size)
        assert torch.equal(one.noise, other.noise)
        for time in torch.linspace(0, 1, 23):
            assert torch.equal(one.at(time), other.at(time))


def test_a_batch_is_a_view():
    whole = solve_reference(Wave(), START, None, reference_table(20, 0, 1))
    for values, batched in (
        (whole.states, whole.batch(1, 4).states),
        (whole.velocities, whole.batch(1, 4).velocities),
    ):
        assert batched.blocks[0].data_ptr() == values.blocks[0][:, 4:].data_ptr()
