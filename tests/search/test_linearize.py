"""The quadratic model against automatic differentiation, by both modes and in any chunks."""

import logging

import pytest
import torch

from dss_ray.models.meter import Meter
from dss_ray.search.linearize import Linearizer, Plan
from dss_ray.search.objective import make_objective
from dss_ray.search.problem import pieces
from dss_ray.search.space import make_space
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.reference import reference_table, solve_reference
from dss_ray.solver.sampling import steps

FORWARD, REVERSE = Plan(5, 4), Plan(5, 0)


def features(states):
    return torch.stack([states.sum(1), states.prod(1), states[:, 0].sin()], 1)


OBJECTIVES = {
    "end": make_objective("end"),
    "trajectory": make_objective("trajectory"),
    "features": make_objective("features", features=features),
    "huber": make_objective("end", "huber:0.05"),
    "lp": make_objective("trajectory", "lp:1.3"),
    "penalty": make_objective("end", penalty=0.1),
}


def linearized(velocity, batch, plan, objective, space="velocity", nfe=3):
    found = make_space(space, classical_table("ab2", make_grid("cosine", nfe)))
    at = found.coordinates + 0.1 * torch.linspace(-1, 1, len(found.coordinates)).double()
    model = Linearizer(Meter(velocity), objective, found)
    samples = pieces(batch, 0, len(batch.noise), plan.samples)
    return found, at, model(at, ((piece, 1.0) for piece in samples), plan.tangents)


def loss(velocity, batch, found, objective, coordinates):
    table = found.table(coordinates)
    path = steps(velocity, table, batch.noise, batch.label)
    return objective([state for _, state in path], batch, table)


@pytest.mark.parametrize("space", ["velocity", "dpmpp3m", "whole"])
@pytest.mark.parametrize("plan", [FORWARD, REVERSE])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_slope_is_half_the_objectives_gradient(oracle, exact_reference, name, plan, space):
    objective = OBJECTIVES[name]
    found, at, (basis, _, slope) = linearized(oracle, exact_reference, plan, objective, space)
    leaf = at.clone().requires_grad_()
    value = loss(oracle, exact_reference, found, objective, leaf)
    (gradient,) = torch.autograd.grad(value, leaf)
    torch.testing.assert_close(2 * basis @ slope, gradient, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("space", ["data", "whole"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_reverse_mode_gives_the_matrix_of_forward_mode(oracle, exact_reference, name, space):
    _, _, (_, forward, _) = linearized(oracle, exact_reference, FORWARD, OBJECTIVES[name], space)
    _, _, (_, reverse, _) = linearized(oracle, exact_reference, REVERSE, OBJECTIVES[name], space)
    torch.testing.assert_close(reverse, forward, atol=1e-10, rtol=1e-8)


def test_where_residuals_are_linear_the_matrix_is_half_the_second_derivative(exact_reference):
    def slopes(x, t, label):  # the last state is linear in the weights of the whole space
        return (3 * t).cos() * torch.ones_like(x)

    def end_loss(weights):
        return loss(slopes, exact_reference, found, OBJECTIVES["end"], torch.cat([at[:7], weights]))

    found, at, (basis, matrix, _) = linearized(
        slopes, exact_reference, FORWARD, OBJECTIVES["end"], "whole"
    )
    hessian = torch.autograd.functional.hessian(end_loss, at[7:])
    whole = basis @ matrix @ basis.T
    torch.testing.assert_close(2 * whole[7:, 7:], hessian, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("plan", [Plan(1, 1), Plan(4, 3), Plan(12, 100), Plan(7, 2)])
def test_chunks_change_nothing_but_the_rounding(oracle, exact_reference, plan):
    objective = OBJECTIVES["trajectory"]
    _, _, (_, matrix, slope) = linearized(oracle, exact_reference, plan, objective)
    _, _, (_, other, towards) = linearized(oracle, exact_reference, Plan(12, 50), objective)
    torch.testing.assert_close(matrix, other, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(slope, towards, atol=1e-12, rtol=1e-12)


def test_a_sample_that_stands_for_three_counts_three_times(oracle, exact_reference):
    found = make_space("whole", classical_table("ab2", make_grid("cosine", 3)))
    model = Linearizer(Meter(oracle), OBJECTIVES["end"], found)
    one, others = exact_reference.batch(0, 4), exact_reference.batch(1, 4)
    weighted = model(found.coordinates, [(one, 3.0), (others, 1.0)], 50)
    repeated = model(found.coordinates, [(batch, 1.0) for batch in (one, one, one, others)], 50)
    torch.testing.assert_close(weighted, repeated, atol=1e-12, rtol=1e-12)


def wide(width):
    """A model that takes memory: ``width`` hidden units, in 16 dimensions."""
    weights = torch.randn(16, width, generator=torch.Generator().manual_seed(0)) / width**0.5

    def velocity(x, t, label):
        hidden = (x @ weights).tanh()
        return (hidden * (1 + t)) @ weights.T

    noise = torch.randn(16, 16, generator=torch.Generator().manual_seed(1))
    return velocity, solve_reference(velocity, noise, None, reference_table(20, 0, 1))


@pytest.mark.parametrize(("budget", "cut"), [(1, True), (1000, False)])
def test_tangents_of_one_sample_are_cut_where_they_do_not_fit(budget, cut):
    velocity, reference = wide(20_000)
    found = make_space("whole", classical_table("ab2", make_grid("uniform", 4)))
    plan = Linearizer(Meter(velocity), OBJECTIVES["end"], found).plan(reference, 12, budget)
    assert (plan.tangents < 18) == cut
    assert plan.samples == (1 if cut else 12)


class NoForwardMode(torch.autograd.Function):
    """The hyperbolic tangent, without a jvp."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x.tanh())
        return x.tanh()

    @staticmethod
    def backward(ctx, slope):
        (value,) = ctx.saved_tensors
        return slope * (1 - value.square())


@pytest.mark.parametrize("place", ["model", "features"])
def test_what_has_no_forward_mode_is_planned_for_reverse_mode(
    oracle, exact_reference, place, caplog
):
    def stubborn(x, t, label):
        return NoForwardMode.apply(oracle(x, t, label))

    def smooth(x, t, label):
        return oracle(x, t, label).tanh()

    opaque = make_objective("features", features=lambda states: NoForwardMode.apply(states))
    clear = make_objective("features", features=torch.tanh)
    model = place == "model"
    velocity, twin = (stubborn, smooth) if model else (oracle, oracle)
    objective, same = (clear, clear) if model else (opaque, clear)
    found = make_space("velocity", classical_table("ab2", make_grid("cosine", 3)))
    with caplog.at_level(logging.WARNING):
        plan = Linearizer(Meter(velocity), objective, found).plan(exact_reference, 12, 100)
    assert plan.tangents == 0
    assert "no forward-mode derivatives" in caplog.text
    _, _, (_, matrix, slope) = linearized(velocity, exact_reference, plan, objective)
    _, _, (_, other, towards) = linearized(twin, exact_reference, FORWARD, same)
    torch.testing.assert_close(matrix, other, atol=1e-10, rtol=1e-8)
    torch.testing.assert_close(slope, towards, atol=1e-10, rtol=1e-8)
