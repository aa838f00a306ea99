from itertools import pairwise

import pytest
import torch

from dss_ray.errors import TableError, UsageError
from dss_ray.solver.adams import adams_weights, constant_weights
from dss_ray.solver.classical import CLASSICAL, baseline_names, baseline_tables, classical_table
from dss_ray.solver.forms import data_table, noise_table, velocity_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample

FORMS = {"velocity": velocity_table, "data": data_table, "noise": noise_table}


def random_rows(count, seed=1):
    lower = torch.randn(count, count, generator=torch.Generator().manual_seed(seed)).double()
    lower = lower.tril(-1)
    return lower + torch.diag(1 - lower.sum(1))


def swirl(x, t, _):
    return torch.cos(3 * t) * (1 - x * x)


def run_form(form, knots, weights, x):
    """The three recursions of the design, on states instead of coefficients."""
    seen = []
    for i, (t, end) in enumerate(pairwise(knots)):
        v = swirl(x, t, None)
        seen.append({"velocity": v, "data": x + (1 - t) * v, "noise": x - t * v}[form])
        mixed = sum(w * p for w, p in zip(weights[i], seen, strict=False))
        if form == "velocity" or (form == "noise" and t == 0):
            x = x + (end - t) * (mixed if form == "velocity" else v)
        elif form == "data":
            x = (1 - end) / (1 - t) * x + (end - t) / (1 - t) * mixed
        else:
            x = end / t * x + (1 - end / t) * mixed
    return x


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ends", [(0, 1), (0.1, 0.8)])
def test_reduction_equals_the_recursion_on_states(form, ends):
    knots, weights = make_grid("power:1.4", 7, *ends), random_rows(7)
    x = torch.linspace(-1, 1, 5).double()
    end = sample(swirl, FORMS[form](knots, weights), x)
    torch.testing.assert_close(end, run_form(form, knots, weights, x), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_reduction_is_differentiable(form):
    def reduced(inner, lower):
        lower = lower.tril(-1)
        ends = inner.new_tensor([0, 1])
        knots = torch.cat([ends[:1], inner, ends[1:]])
        return FORMS[form](knots, lower + torch.diag(1 - lower.sum(1))).weights

    inner = torch.tensor([0.2, 0.45, 0.8]).double().requires_grad_()
    assert torch.autograd.gradcheck(reduced, (inner, random_rows(4).requires_grad_()))


@pytest.mark.parametrize("form", FORMS)
def test_searched_query_times_leave_the_weights_alone(form):
    knots, weights = make_grid("uniform", 4), random_rows(4)
    times = knots[:-1] + 0.05
    table = FORMS[form](knots, weights, times)
    assert torch.equal(table.times, times)
    assert torch.equal(table.weights, FORMS[form](knots, weights).weights)


@pytest.mark.parametrize("form", FORMS)
def test_bad_weights_are_refused(form):
    knots, good = make_grid("uniform", 4), random_rows(4)
    for weights, message in (
        (good[:3, :3], "shape"),
        (good.T, "lower triangular"),
        (good + 0.01 * torch.eye(4), "sum to one"),
        (good * float("nan"), "lower triangular|sum to one"),
    ):
        with pytest.raises(TableError, match=message):
            FORMS[form](knots, weights)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_variable_step_adams_is_the_textbooks_on_equal_steps(order):
    knots = make_grid("uniform", 9, 0.1, 0.7)
    expected = constant_weights(9, order)
    torch.testing.assert_close(adams_weights(knots, order), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_adams_weights_are_differentiable_through_the_knots(order):
    knots = make_grid("power:1.3", 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda k: adams_weights(k, order), knots)


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_tables_are_differentiable_between_their_ends(name):
    def weights(inner):
        return classical_table(name, torch.cat([ends[:1], inner, ends[1:]])).weights

    ends = torch.tensor([0.0, 1.0]).double()
    inner = make_grid("power:1.3", 6)[1:-1].requires_grad_()
    assert torch.autograd.gradcheck(weights, inner)


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("spec", ["uniform", "cosine", "edm", "logsnr", "shift:8"])
def test_every_classical_table_exists_on_every_range(name, spec):
    for ends in ((0, 1), (0, 0.9), (0.006594, 1), (0.006594, 0.989623)):
        for nfe in (2, 4, 10):
            assert classical_table(name, make_grid(spec, nfe, *ends)).nfe == nfe


def test_heun_needs_an_even_number_of_queries():
    with pytest.raises(UsageError, match="even"):
        classical_table("heun", make_grid("uniform", 5))
    assert "heun" in baseline_names(6) and "heun" not in baseline_names(5)


@pytest.mark.parametrize(("spec", "nfe"), [("uniform", 3), ("uniform", 6), ("power:1.5", 6)])
def test_baselines_differ_from_each_other(spec, nfe):
    tables = list(baseline_tables(make_grid(spec, nfe)).values())
    for i, table in enumerate(tables):
        for other in tables[:i]:
            assert (
                max(
                    (table.weights - other.weights).abs().max(),
                    1 - (table.times == other.times).double().mean(),
                )
                > 1e-6
            )


def test_baselines_leave_out_only_what_another_name_covers():
    assert list(baseline_tables(make_grid("power:1.5", 1))) == ["euler"]
    assert "ab4" not in baseline_tables(make_grid("power:1.5", 3))
    assert "ab2-uniform" not in baseline_tables(make_grid("uniform", 6))
    assert list(baseline_tables(make_grid("power:1.5", 6))) == baseline_names(6)


def test_unknown_and_refused_solvers_say_what_to_do():
    with pytest.raises(UsageError, match="did you mean 'dpmpp2m'"):
        classical_table("dpmp2m", make_grid("uniform", 5))
    with pytest.raises(UsageError, match="bh1 diverges"):
        classical_table("unipc3-bh1", make_grid("uniform", 5))
