"""Losses against their definitions and gradients; the theorem's bound; names that do not fit."""

import math

import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.search.linearize import bound_model
from dss_ray.search.objective import error_bound, make_objective, parse_loss
from dss_ray.search.space import make_space
from dss_ray.search.tangents import directions
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import steps
from dss_ray.solver.table import SolverTable

SPECS = ("square", "huber:0.3", "huber:1e-8", "lp:0.5", "lp:1", "lp:1.7", "lp:2")
SIZES = torch.logspace(-9, 2, 45, dtype=torch.float64)
RESIDUALS = torch.cat([-SIZES, torch.zeros(1).double(), SIZES])


@pytest.mark.parametrize("spec", SPECS)
def test_the_weighted_square_has_the_gradient_of_the_loss(spec):
    loss, residual = parse_loss(spec), RESIDUALS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss.value(residual).sum(), residual)
    torch.testing.assert_close(2 * loss.weight(residual) * residual, gradient, rtol=1e-12, atol=0)


@pytest.mark.parametrize("spec", SPECS)
def test_the_weighted_square_lies_above_the_loss(spec):
    """The majorisation by which reweighting never raises the loss."""
    loss = parse_loss(spec)
    here, there = RESIDUALS[:, None], RESIDUALS[None]
    model = loss.value(here) + loss.weight(here) * (there.square() - here.square())
    assert (model - loss.value(there) > -1e-9 * (1 + model.abs())).all()


def test_losses_are_what_their_names_say():
    sizes = torch.tensor([-2.0, -0.1, 0.0, 0.2, 3.0], dtype=torch.float64)
    expected = {
        "square": [4.0, 0.01, 0.0, 0.04, 9.0],
        "huber:0.2": [0.76, 0.01, 0.0, 0.04, 1.16],
        "lp:1": [2.0, 0.1, 5e-7, 0.2, 3.0],
        "lp:0.5": [math.sqrt(2), math.sqrt(0.1), 7.5e-4, math.sqrt(0.2), math.sqrt(3)],
    }
    for spec, values in expected.items():
        assert parse_loss(spec).value(sizes).tolist() == pytest.approx(values, abs=1e-12), spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hubert:1", "did you mean 'huber'"),
        ("square:1", "square takes no number"),
        ("huber", "expected a positive number, such as huber:1"),
        ("lp:2.5", "positive number up to 2"),
        ("lp:nan", "expected a positive number"),
        ("huber:inf", "expected a positive number"),
        ("lp:0", "expected a positive number"),
        ("", "unknown loss ''"),
    ],
)
def test_a_loss_that_cannot_be_is_refused(spec, message):
    with pytest.raises(UsageError, match=message):
        parse_loss(spec)


def test_an_objective_by_a_wrong_name_or_without_its_features_is_refused():
    with pytest.raises(UsageError, match="did you mean 'trajectory'"):
        make_objective("trajectories")
    with pytest.raises(UsageError, match="names no feature extractor"):
        make_objective("features")


def test_residuals_are_the_distances_that_their_names_say(oracle, exact_reference):
    table, batch = classical_table("ab2", make_grid("uniform", 3)), exact_reference
    states = [state for _, state in steps(oracle, table, batch.noise, batch.label)]
    off = [state - batch.at(knot) for state, knot in zip(states, table.knots[1:], strict=True)]
    expected = {
        "end": (states[-1] - batch.end).square().mean(),
        "trajectory": torch.stack(off).square().mean(),
        "features": (states[-1].sin() - batch.end.sin()).square().mean(),
    }
    for name, value in expected.items():
        objective = make_objective(name, features=torch.sin)
        torch.testing.assert_close(objective(states, batch, table), value)
        with_penalty = make_objective(name, penalty=0.5, features=torch.sin)
        torch.testing.assert_close(
            with_penalty(states, batch, table), value + 0.5 * error_bound(table)
        )


def errors_of(table, errors):
    """How far velocities that are wrong by ``errors`` (N,) push the end state."""
    wrong = steps(lambda x, t, label: next(stream) + 0 * x, table, torch.zeros(1).double())
    stream = iter(errors)
    return float([state for _, state in wrong][-1])


@pytest.mark.parametrize("name", ["euler", "ab2", "ab4", "dpmpp2m"])
def test_the_bound_is_the_sum_of_the_steps_sizes(name):
    knots = make_grid("power:1.5", 6, 0.1, 0.8)
    table = classical_table(name, knots)
    rows = table.weights.diff(dim=0, prepend=torch.zeros(1, 6).double())
    assert float(error_bound(table)) == pytest.approx(float(rows.abs().sum()))
    worst = max(abs(errors_of(table, signs)) for signs in torch.randn(99, 6).double().sign())
    assert worst <= float(error_bound(table)) + 1e-12
    if name == "euler":  # no coefficient but the newest, so that the time passed is all
        assert float(error_bound(table)) == pytest.approx(0.7)


@pytest.mark.parametrize("space", ["velocity", "dpmpp2m", "whole"])
def test_the_bounds_quadratic_model_touches_it(space):
    found = make_space(space, classical_table("ab3", make_grid("cosine", 5)))
    along = directions(found, found.coordinates)
    _, slope = bound_model(found.table(found.coordinates), along)

    def bound(step: torch.Tensor) -> torch.Tensor:
        return error_bound(found.table(found.coordinates + along.basis @ step))

    steps_apart = 1e-7 * torch.eye(len(slope), dtype=torch.float64)
    exact = torch.stack([bound(step) - bound(-step) for step in steps_apart]) / 2e-7
    torch.testing.assert_close(slope, exact, atol=1e-6, rtol=1e-5)


def test_the_bounds_quadratic_model_lies_above_it():
    """In the whole space, where coefficients are coordinates."""
    found = make_space("whole", classical_table("ab3", make_grid("cosine", 4)))
    at = found.coordinates
    rows = slice(len(at) - 10, None)
    along = directions(found, at)
    curvature, slope = bound_model(found.table(at), along)
    random = torch.Generator().manual_seed(0)
    for _ in range(50):
        moved = torch.zeros_like(at)
        moved[rows] = 0.3 * torch.randn(10, generator=random, dtype=torch.float64)
        step = along.basis.T @ moved
        model = error_bound(found.table(at)) + slope @ step + step @ curvature @ step / 2
        assert model >= error_bound(found.table(at + moved)) - 1e-9


def test_the_bound_is_differentiable():
    table = classical_table("ab2", make_grid("uniform", 3))
    weights = table.weights.clone().requires_grad_()
    moved = SolverTable(table.times, table.start, weights.tril(), table.knots, free=True)
    assert error_bound(moved).requires_grad
