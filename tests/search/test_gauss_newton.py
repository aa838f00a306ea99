"""Gauss-Newton: exact on solvable problems, never worse held out, robust where models are not."""

import logging

import pytest
import torch
from torch import Tensor

from dss_ray.errors import DivergedError, ModelError, UsageError
from dss_ray.models.guidance import guide
from dss_ray.models.meter import Meter
from dss_ray.models.teacher import Teacher
from dss_ray.search import levenberg_marquardt
from dss_ray.search.gauss_newton import gauss_newton
from dss_ray.search.journal import FileJournal
from dss_ray.search.levenberg_marquardt import Point
from dss_ray.search.precision import in_precision
from dss_ray.search.result import SearchSettings
from dss_ray.search.space import SPACES
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.reference import reference_table, solve_reference
from dss_ray.solver.sampling import sample
from dss_ray.solver.table import SolverTable

START = classical_table("ab2", make_grid("uniform", 3))
FEW = SearchSettings(samples=64, iterations=3)


def found_by(model, reference, settings=FEW, start=START, **aids):
    return gauss_newton(Meter(model), reference, start, settings, **aids)


def end_error(model, table, reference):
    with torch.no_grad():
        end = sample(model, table, reference.noise, reference.label)
    return float((end - reference.end).double().square().mean().sqrt())


@pytest.mark.parametrize("space", SPACES)
def test_every_space_lowers_the_error_on_fresh_noises(oracle, reference, space):
    settings = SearchSettings(samples=256, iterations=5, space=space)
    found = found_by(oracle, reference, settings)
    fresh = Teacher(guide(oracle, 1.0), "search", 1).reference(256)[0]
    assert end_error(oracle, found.table, fresh) < 0.8 * end_error(oracle, START, fresh)
    assert found.table.free == (space == "whole")


@pytest.mark.parametrize("loss", ["square", "huber:0.05", "lp:1"])
@pytest.mark.parametrize("objective", ["end", "trajectory", "features"])
def test_every_objective_falls_on_held_out_samples(oracle, reference, objective, loss):
    settings = SearchSettings(samples=64, iterations=3, objective=objective, loss=loss)
    found = found_by(oracle, reference, settings, features=lambda states: states.square())
    losses = [value for _, value in found.history]
    assert min(losses) < 0.95 * losses[0]


@pytest.mark.parametrize(("grid", "nfe"), [("uniform", 6), ("cosine", 9)])
def test_jacobians_of_the_hardest_samples_cost_a_part_and_lose_little(
    oracle, monkeypatch, grid, nfe
):
    reference = Teacher(guide(oracle, 1.0), "search", 0).reference(512)[0]
    start = classical_table("ab2", make_grid(grid, nfe))
    settings = SearchSettings(samples=512, iterations=4)
    hardest = found_by(oracle, reference, settings, start)
    monkeypatch.setattr(levenberg_marquardt, "LEAST_HARDEST", 512)
    whole = found_by(oracle, reference, settings, start)
    assert hardest.evaluations < 0.5 * whole.evaluations
    fresh = Teacher(guide(oracle, 1.0), "search", 1).reference(256)[0]
    errors = [end_error(oracle, one.table, fresh) for one in (hardest, whole)]
    assert errors[0] < 1.5 * errors[1] < 0.5 * end_error(oracle, start, fresh)


def test_a_linear_flow_is_solved_in_one_query_of_the_whole_space():
    """dx/dt = c - x over [0, 1] ends at c + (x_0 - c) / e: weights 1 / e and 1 - 1 / e."""

    def velocity(x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        return 2.0 - x

    class Exact:
        noise = torch.randn(64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        label = None
        end = 2.0 + (noise - 2.0) / torch.e

        def __init__(self, rows=slice(None)):
            self.noise, self.end = Exact.noise[rows], Exact.end[rows]

        def batch(self, index, size):
            return Exact(slice(index * size, (index + 1) * size))

    start = classical_table("euler", make_grid("uniform", 1))
    found = gauss_newton(Meter(velocity), Exact(), start, SearchSettings(samples=64, iterations=8))
    end = sample(velocity, found.table, Exact.noise)
    torch.testing.assert_close(end, Exact.end, rtol=0, atol=1e-6)


def point(held_out):
    nothing = torch.zeros(1, dtype=torch.float64)
    return Point(nothing, nothing, torch.tensor(held_out, dtype=torch.float64))


@pytest.mark.parametrize(
    ("held_out", "holds"),
    [
        ([0.9] * 100, True),
        ([1.1] * 100, False),
        ([0.9] * 99 + [50.0], True),  # a single sample that fell to another mode
        ([0.9] * 50 + [1.5] * 50, False),
        ([0.9] * 99 + [float("nan")], False),
        ([0.9] * 99 + [float("inf")], False),
    ],
)
def test_samples_held_out_refuse_what_is_worse_beyond_chance(held_out, holds):
    assert point(held_out).holds_against(point([1.0] * 100)) is holds


def test_the_memory_changes_the_batches_and_only_the_rounding(oracle, reference):
    lean, roomy = (
        found_by(oracle, reference, SearchSettings(samples=64, iterations=2, memory=size)).table
        for size in (1, 1024)
    )
    torch.testing.assert_close(lean.weights, roomy.weights, rtol=0, atol=1e-4)


class NoForwardMode(torch.autograd.Function):
    """The identity, without a jvp."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return slope


def test_a_model_without_forward_mode_is_searched_in_reverse_mode(oracle, reference, caplog):
    def stubborn(x, t, label):
        return oracle(NoForwardMode.apply(x), t, label)

    with caplog.at_level(logging.WARNING):
        found = found_by(stubborn, reference)
    assert "no forward-mode derivatives" in caplog.text
    forward = found_by(oracle, reference)
    torch.testing.assert_close(found.table.weights, forward.table.weights, rtol=0, atol=1e-3)
    assert found.evaluations != forward.evaluations


def test_a_model_without_any_derivative_is_a_typed_error(oracle, reference):
    @torch.inference_mode()
    def model(x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        return oracle(x, t, label)

    with pytest.raises(ModelError, match=r"no derivatives in reverse mode either.*least-squares"):
        found_by(model, reference)


def test_guided_models_are_searched(oracle):
    guided, start = guide(oracle, 1.5), classical_table("ab2", make_grid("uniform", 5))
    reference = Teacher(guided, "search", 0).reference(256)[0]
    settings = SearchSettings(samples=256, iterations=4)
    found = gauss_newton(Meter(guided, 2), reference, start, settings)
    assert end_error(guided, found.table, reference) < 0.9 * end_error(guided, start, reference)


def test_a_network_in_bfloat16_is_searched(reference):
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.Tanh(), torch.nn.Linear(32, 2))

    def network(x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        return 3 * layers(torch.cat([x, t.expand(len(x), 1)], 1))

    low = in_precision(network, "bfloat16")
    assert not torch.equal(
        low(reference.noise, torch.zeros(()), None), network(reference.noise, torch.zeros(()), None)
    )
    with torch.no_grad():
        exact = solve_reference(network, reference.noise, None, reference_table(40, 0, 1))
    found = found_by(low, exact)
    losses = [value for _, value in found.history]
    assert min(losses) < 0.8 * losses[0]
    assert found.table.weights.isfinite().all()


@pytest.mark.slow
def test_a_compiled_model_is_searched_to_the_table_of_the_eager_one(oracle, reference):
    compiled = torch.compile(lambda x, t, label: oracle(x, t, label), backend="aot_eager")
    found, eager = found_by(compiled, reference), found_by(oracle, reference)
    torch.testing.assert_close(found.table.weights, eager.table.weights, rtol=0, atol=1e-3)


def test_an_interrupted_search_goes_on_to_the_same_bits(oracle, reference, tmp_path):
    class StopError(Exception):
        pass

    def stop(done, most):
        if done == 2:
            raise StopError

    journal = FileJournal(tmp_path / "journal.safetensors", "key")
    with pytest.raises(StopError):
        found_by(oracle, reference, journal=journal, progress=stop)
    resumed = FileJournal(tmp_path / "journal.safetensors", "key")
    whole, cut = found_by(oracle, reference), found_by(oracle, reference, journal=resumed)
    assert cut.table.to_json() == whole.table.to_json()
    assert (cut.history, cut.evaluations) == (whole.history, whole.evaluations)


def test_a_model_that_fails_away_from_the_start_is_searched_with_shorter_steps(oracle, reference):
    def fragile(x, t, label):
        value = oracle(x, t, label)
        return torch.where(x.abs().amax(1, keepdim=True) > 4.5, torch.nan, value)

    found = found_by(fragile, reference)
    assert sample(fragile, found.table, reference.noise[:64], reference.label[:64]).isfinite().all()


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_model_that_fails_at_the_start_is_an_error_with_a_remedy(reference, broken):
    with pytest.raises(DivergedError, match="start from another table"):
        found_by(lambda x, *_: x * broken, reference)


@pytest.mark.parametrize("space", ["velocity", "whole"])
@pytest.mark.parametrize("field", [torch.zeros_like, torch.ones_like])
def test_a_singular_system_leaves_a_valid_table(reference, field, space):
    settings = SearchSettings(samples=64, iterations=3, space=space)
    found = found_by(lambda x, *_: field(x), reference, settings)  # all velocities are collinear
    assert SolverTable.from_json(found.table.to_json()).weights.isfinite().all()


@pytest.mark.parametrize("space", ["velocity", "whole"])
def test_one_query_is_searched_or_left_as_it_is(oracle, reference, space):
    start = classical_table("euler", make_grid("uniform", 1))
    found = found_by(oracle, reference, SearchSettings(samples=64, space=space), start)
    losses = [value for _, value in found.history]
    assert found.table.nfe == 1
    assert found.table is start or min(losses) < losses[0]


def test_fewer_than_four_samples_are_refused(oracle, reference):
    with pytest.raises(UsageError, match="at least 4 samples"):
        found_by(oracle, reference, SearchSettings(samples=3))
    assert found_by(oracle, reference, SearchSettings(samples=5, iterations=1)).table.nfe == 3
