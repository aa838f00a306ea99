"""The gradient search: right gradients, lower errors, typed failures."""

import math
from dataclasses import replace

import pytest
import torch

from dss_ray.errors import DivergedError, UsageError
from dss_ray.models.meter import Meter
from dss_ray.search.gradient import gradient
from dss_ray.search.objective import make_objective
from dss_ray.search.paper import paper_objective
from dss_ray.search.result import SearchSettings
from dss_ray.search.space import SPACES, make_space
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample, steps


def start(nfe=4, grid="uniform", name="ab2"):
    return classical_table(name, make_grid(grid, nfe))


def rmse(velocity, table, reference):
    with torch.no_grad():
        end = sample(velocity, table, reference.noise, reference.label)
    return float((end - reference.end).square().mean().sqrt())


def features(states):
    """Smooth features of states in the plane."""
    return torch.stack([states.sum(1), states.prod(1), states[:, 0].sin()], 1)


OBJECTIVES = {
    "end": make_objective("end"),
    "trajectory": make_objective("trajectory"),
    "features": make_objective("features", features=features),
    "huber": make_objective("end", "huber:0.01"),
    "lp": make_objective("end", "lp:1.5"),
    "penalty": make_objective("end", penalty=0.1),
    "paper": paper_objective,
}


@pytest.mark.parametrize("space", ["velocity", "dpmpp3m", "whole"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_has_the_gradient_of_finite_differences(oracle, exact_reference, name, space):
    around = make_space(space, start(grid="cosine"))

    def loss(coordinates):
        table = around.table(coordinates)
        path = steps(oracle, table, exact_reference.noise, exact_reference.label)
        return OBJECTIVES[name]([state for _, state in path], exact_reference, table)

    moved = (around.coordinates + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(loss, moved, eps=1e-7, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("objective", ["end", "trajectory", "features"])
@pytest.mark.parametrize("optimizer", ["adam", "lion"])
def test_it_lowers_the_end_error_of_adams_bashforth(oracle, reference, optimizer, objective):
    table = start(5)
    settings = SearchSettings(
        objective=objective, optimizer=optimizer, iterations=40, learning_rate=0.01
    )
    found = gradient(Meter(oracle), reference, table, settings, features=features)
    assert rmse(oracle, found.table, reference) < 0.8 * rmse(oracle, table, reference)
    assert len(found.history) == 40
    assert (found.table.knots[0], found.table.knots[-1]) == (0, 1)


@pytest.mark.parametrize("space", SPACES)
def test_every_space_is_descended(oracle, reference, space):
    table = start(5)
    settings = SearchSettings(space=space, iterations=40, learning_rate=0.01)
    found = gradient(Meter(oracle), reference, table, settings)
    assert rmse(oracle, found.table, reference) < 0.8 * rmse(oracle, table, reference)
    assert found.table.free == (space == "whole")


def test_the_history_is_the_objective(oracle, reference):
    table = start(5)
    settings = SearchSettings(objective="end", iterations=1, batch_size=256)
    found = gradient(Meter(oracle), reference, table, settings)
    assert found.history == [(0, pytest.approx(rmse(oracle, table, reference) ** 2, rel=1e-4))]


def test_an_unknown_objective_names_the_nearest(meter, reference):
    with pytest.raises(UsageError, match="did you mean 'trajectory'"):
        gradient(meter, reference, start(), SearchSettings(objective="trajectories"))


@pytest.mark.parametrize("optimizer", ["adam", "lion"])
@pytest.mark.parametrize("rate", [1.0, 30.0, 1e3, 1e300])
@pytest.mark.parametrize("space", ["velocity", "ab3", "dpmpp3m", "whole"])
def test_a_diverging_rate_ends_in_a_typed_error_or_a_valid_table(
    oracle, reference, rate, space, optimizer
):
    settings = SearchSettings(
        learning_rate=rate, iterations=12, batch_size=16, space=space, optimizer=optimizer
    )
    try:
        found = gradient(Meter(oracle), reference, start(), settings)
    except DivergedError as error:
        assert "lower the learning rate" in str(error)
    else:
        assert found.table.weights.isfinite().all()
        first = reference.batch(0, 16)
        assert rmse(oracle, found.table, first) <= rmse(oracle, start(), first) * (1 + 1e-6)
        assert all(math.isfinite(loss) for _, loss in found.history)


@pytest.mark.parametrize("space", SPACES)
def test_one_query_leaves_nothing_to_search_but_in_the_whole_space(oracle, reference, space):
    euler, settings = start(1), SearchSettings(space=space, iterations=3)
    found = gradient(Meter(oracle), reference, euler, settings)
    assert torch.equal(found.table.weights, euler.weights) == (space != "whole")
    assert torch.equal(found.table.knots, euler.knots)


def test_a_free_start_is_searched_among_free_tables(oracle, reference):
    settings = SearchSettings(iterations=2)
    free = gradient(Meter(oracle), reference, start(), replace(settings, space="whole")).table
    assert gradient(Meter(oracle), reference, free, settings).table.free


def test_a_batch_larger_than_the_samples_holds_them_all(oracle, reference):
    settings = SearchSettings(iterations=2, batch_size=10_000)
    found = gradient(Meter(oracle), reference, start(), settings)
    # Three samples tell the memory; the end is compared with the beginning on all.
    assert found.evaluations == 4 * (3 * (2 * 256 + 3) + 256)


def test_a_nan_gradient_with_a_finite_loss_is_an_error(oracle, reference):
    def cornered(x, t, label):  # its value is finite, its derivative infinity times zero
        return oracle(x, t, label) + 0 * (0 * x).abs().sqrt()

    with pytest.raises(DivergedError, match=r"gradient that is NaN .* iteration 0: lower"):
        gradient(Meter(cornered), reference, start(), SearchSettings(iterations=2))


@pytest.mark.parametrize("memory", [1, 1024])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_from_the_model_is_an_error(oracle, reference, value, memory):
    def broken(x, t, label):
        return oracle(x, t, label) if t < 0.7 else torch.full_like(x, value)

    with pytest.raises(DivergedError, match=r"loss of (nan|inf)"):
        gradient(Meter(broken), reference, start(), SearchSettings(memory=memory))


@pytest.mark.parametrize(
    "bad", [{"samples": 0}, {"samples": 2.5}, {"seed": "x"}, {"iterations": 0}, {"batch_size": -1},
            {"ridge": -1e-9}, {"ridge": math.nan}, {"learning_rate": 0.0},
            {"learning_rate": math.inf}],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        SearchSettings(**bad)
