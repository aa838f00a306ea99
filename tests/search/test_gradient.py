"""The gradient search: right gradients, lower errors, typed failures."""

import math

import pytest
import torch

from dss_ray.errors import DivergedError, UsageError
from dss_ray.models.meter import Meter
from dss_ray.search.gradient import OBJECTIVES, gradient
from dss_ray.search.paper import paper_objective
from dss_ray.search.parametrization import Parametrization
from dss_ray.search.result import SearchSettings
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample, steps


def start(nfe=4, grid="uniform", name="ab2"):
    return classical_table(name, make_grid(grid, nfe))


def rmse(velocity, table, reference):
    with torch.no_grad():
        end = sample(velocity, table, reference.noise, reference.label)
    return float((end - reference.end).square().mean().sqrt())


@pytest.mark.parametrize("objective", [*OBJECTIVES.values(), paper_objective])
def test_the_loss_has_the_gradient_of_finite_differences(oracle, exact_reference, objective):
    parameters = Parametrization.of(start(grid="cosine"))

    def loss(logits, lower):
        moved = Parametrization(logits, lower, parameters.mask, 0.0, 1.0).table()
        path = steps(oracle, moved, exact_reference.noise, exact_reference.label)
        return objective([state for _, state in path], exact_reference, moved.knots)

    inputs = [tensor.clone().requires_grad_() for tensor in parameters.parameters]
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-7, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("grid", ["uniform", "cosine"])
def test_adam_lowers_the_end_error_of_adams_bashforth(oracle, reference, grid, objective):
    table = start(5, grid)
    settings = SearchSettings(objective=objective, iterations=60, learning_rate=0.02)
    found = gradient(Meter(oracle), reference, table, settings)
    assert rmse(oracle, found.table, reference) < 0.8 * rmse(oracle, table, reference)
    assert len(found.history) == 60
    assert (found.table.knots[0], found.table.knots[-1]) == (0, 1)


def test_the_history_is_the_objective(oracle, reference):
    table = start(5)
    settings = SearchSettings(objective="end", iterations=1, batch_size=256)
    found = gradient(Meter(oracle), reference, table, settings)
    assert found.history == [(0, pytest.approx(rmse(oracle, table, reference) ** 2, rel=1e-4))]


def test_an_unknown_objective_names_the_nearest(meter, reference):
    with pytest.raises(UsageError, match="did you mean 'trajectory'"):
        gradient(meter, reference, start(), SearchSettings(objective="trajectories"))


@pytest.mark.parametrize("rate", [1.0, 1e3, 1e30, 1e300])
def test_a_diverging_rate_ends_in_a_typed_error_or_a_valid_table(oracle, reference, rate):
    settings = SearchSettings(learning_rate=rate, iterations=25, batch_size=16)
    try:
        found = gradient(Meter(oracle), reference, start(), settings)
    except DivergedError as error:
        assert "lower the learning rate" in str(error)
    else:
        assert found.table.weights.isfinite().all()
        assert all(math.isfinite(loss) for _, loss in found.history)


def test_a_nan_gradient_with_a_finite_loss_is_an_error(oracle, reference):
    def cornered(x, t, label):  # its value is finite, its derivative infinity times zero
        return oracle(x, t, label) + 0 * (0 * x).abs().sqrt()

    with pytest.raises(DivergedError, match="lower the learning rate"):
        gradient(Meter(cornered), reference, start(), SearchSettings(iterations=2))
    with pytest.raises(DivergedError, match="iteration 1"):
        gradient(Meter(cornered), reference, start(), SearchSettings(iterations=1))


def test_nan_from_the_model_is_an_error(reference):
    with pytest.raises(DivergedError, match="loss of nan"):
        gradient(Meter(lambda x, *_: x.log()), reference, start(), SearchSettings())


@pytest.mark.parametrize(
    "bad", [{"samples": 0}, {"iterations": 0}, {"batch_size": -1}, {"ridge": -1e-9},
            {"ridge": math.nan}, {"learning_rate": 0.0}, {"learning_rate": math.inf}],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        SearchSettings(**bad)
