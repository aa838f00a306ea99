"""Least squares against independent solutions, known generators, rivals and singular systems."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dss_ray.errors import DivergedError
from dss_ray.models.guidance import guide
from dss_ray.models.meter import Meter
from dss_ray.models.teacher import Teacher
from dss_ray.search.least_squares import least_squares
from dss_ray.search.result import SearchSettings
from dss_ray.solver.adams import adams_table
from dss_ray.solver.classical import baseline_tables, classical_table
from dss_ray.solver.forms import velocity_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.reference import Reference, reference_table, solve_reference
from dss_ray.solver.sampling import differences, sample, steps

GRIDS = ("uniform", "cosine", "power:1.6:1.4", "shift:0.7")
TIED = "velocity"  # rows sum to the step width
NOISE = torch.randn(32, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def rmse(velocity, table, reference):
    with torch.no_grad():
        end = sample(velocity, table, reference.noise, reference.label)
    return float((end - reference.end).square().mean().sqrt())


def row_by_lagrange(velocities, gap, width, ridge):
    """The constrained least-squares problem's optimality conditions, solved as they stand."""
    design = np.stack([v.flatten() for v in velocities], 1)
    differences = design[:, :-1] - design[:, -1:]
    penalty = np.diag([*(ridge * (differences**2).sum(0)), 0.0])
    count = len(velocities)
    system = np.ones((count + 1, count + 1))
    system[:count, :count], system[count, count] = design.T @ design + penalty, 0
    return np.linalg.solve(system, [*(design.T @ gap.flatten()), width])[:count]


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
@pytest.mark.parametrize("grid", ["uniform", "power:1.6:1.4"])
def test_each_row_solves_the_constrained_problem(oracle, exact_reference, grid, ridge):
    knots, reference = make_grid(grid, 5), exact_reference
    found = least_squares(
        Meter(oracle), reference, adams_table(knots, 1), SearchSettings(ridge=ridge, space=TIED)
    )
    state, velocities, total = reference.noise.numpy(), [], np.zeros(5)
    for i, width in enumerate(knots.diff().tolist()):
        velocity = oracle(torch.from_numpy(state), knots[i], reference.label)
        velocities.append(velocity.numpy())
        gap = reference.at(knots[i + 1]).numpy() - state
        row = row_by_lagrange(velocities, gap, width, ridge)
        total[: i + 1] += row
        np.testing.assert_allclose(found.table.weights[i].numpy(), total, atol=1e-6)
        state = state + sum(w * v for w, v in zip(row, velocities, strict=True))


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_a_free_row_solves_the_normal_equations_around_eulers_step(oracle, exact_reference, ridge):
    knots, reference = make_grid("cosine", 4), exact_reference
    times = knots[:-1] + torch.tensor([0.4, 0.1, 0.0, -0.1]) * knots.diff()
    start = replace(adams_table(knots, 1), times=times)
    table = least_squares(Meter(oracle), reference, start, SearchSettings(ridge=ridge)).table
    noise = reference.noise.numpy()
    state, velocities = noise, []
    for i, (origin, row) in enumerate(zip(*differences(table), strict=True)):
        velocities.append(oracle(torch.from_numpy(state), times[i], reference.label).numpy())
        design = np.stack([part.ravel() for part in (noise, *velocities)], 1)
        euler = np.array([0.0] * (i + 1) + [float(knots[i + 1] - knots[i])])
        gap = (reference.at(knots[i + 1]).numpy() - state).ravel()
        damped = np.diag(np.sqrt(ridge * (design**2).sum(0)))
        stacked, values = np.vstack([design, damped]), np.append(gap - design @ euler, 0 * euler)
        expected = euler + np.linalg.lstsq(stacked, values)[0]
        np.testing.assert_allclose([origin, *row[: i + 1]], expected, atol=1e-6)
        state = state + origin.item() * noise + np.tensordot(row[: i + 1], np.stack(velocities), 1)


def test_without_ridge_a_row_is_numpys_own_least_squares_solution(oracle, exact_reference):
    knots, reference = make_grid("uniform", 2), exact_reference
    settings = SearchSettings(ridge=0.0, space=TIED)
    table = least_squares(Meter(oracle), reference, adams_table(knots, 1), settings).table
    first = oracle(reference.noise, knots[0], reference.label)
    state = reference.noise + 0.5 * first
    second = oracle(state, knots[1], reference.label)
    design = (first - second).flatten()[:, None].numpy()
    gap = (reference.end - state - 0.5 * second).flatten().numpy()
    ((older,), *_) = np.linalg.lstsq(design, gap)
    assert table.weights[1].tolist() == pytest.approx([0.5 + older, 0.5 - older], abs=1e-9)


def test_it_recovers_the_table_that_generated_the_trajectories(oracle):
    random = torch.Generator().manual_seed(3)
    lower = (0.3 * torch.randn(6, 6, generator=random, dtype=torch.float64)).tril(-1)
    truth = velocity_table(make_grid("cosine", 6), lower + torch.diag(1 - lower.sum(1)))
    noise, label = NOISE[:, :2], torch.arange(32) % 4
    states = torch.stack([noise, *(state for _, state in steps(oracle, truth, noise, label))])
    generated = Reference(truth.knots, states, torch.zeros_like(states), label)
    settings = SearchSettings(ridge=0.0, space=TIED)
    table = least_squares(Meter(oracle), generated, truth, settings).table
    torch.testing.assert_close(table.weights, truth.weights, atol=1e-6, rtol=0)
    torch.testing.assert_close(sample(oracle, table, noise, label), states[-1], atol=1e-9, rtol=0)


@pytest.mark.parametrize("nfe", [3, 4, 5, 6, 8, 10])
@pytest.mark.parametrize("grid", ["uniform", "shift:0.7"])  # elsewhere its greed may lose
def test_it_beats_every_classical_solver_on_the_same_grid(oracle, reference, grid, nfe):
    knots = make_grid(grid, nfe)
    found = least_squares(Meter(oracle), reference, adams_table(knots, 2), SearchSettings())
    classical = {n: rmse(oracle, t, reference) for n, t in baseline_tables(knots).items()}
    assert rmse(oracle, found.table, reference) < min(classical.values()), classical


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("nfe", [3, 5, 8])
def test_on_smooth_random_mixtures_it_beats_every_classical_solver(random_mixture, seed, nfe):
    mixture, knots = random_mixture(seed, width=0.3), make_grid(GRIDS[seed % 4], nfe)
    reference, _, _ = Teacher(guide(mixture, 1.0), "search", seed).reference(256)
    found = least_squares(Meter(mixture), reference, adams_table(knots, 2), SearchSettings())
    classical = {n: rmse(mixture, t, reference) for n, t in baseline_tables(knots).items()}
    assert rmse(mixture, found.table, reference) < min(classical.values()), classical


FIELDS = {
    "zero": lambda x, t, label: torch.zeros_like(x),
    "constant": lambda x, t, label: torch.full_like(x, 2.0),
    "same for all samples": lambda x, t, label: (6 * t).cos().expand_as(x),
    "two directions": lambda x, t, label: torch.stack([t, 1 - t, t]).expand_as(x),
}


@pytest.mark.parametrize("ridge", [0.0, 1e-5])
@pytest.mark.parametrize("name", FIELDS)
def test_singular_systems_give_a_table_that_is_right(name, ridge):
    field = FIELDS[name]
    reference = solve_reference(field, NOISE, None, reference_table(80, 0, 1))
    start = adams_table(make_grid("cosine", 6), 2)
    table = least_squares(Meter(field), reference, start, SearchSettings(ridge=ridge)).table
    assert table.weights.abs().max() < 100
    assert rmse(field, table, reference) < 1e-3


def test_one_tied_step_is_eulers(oracle, reference):
    start = adams_table(make_grid("uniform", 1), 1)
    found = least_squares(Meter(oracle), reference, start, SearchSettings(space=TIED))
    assert found.table.weights.tolist() == [[1.0]]
    assert found.evaluations == 256


def test_repeated_knots_give_a_valid_table_no_worse_than_heuns(oracle, reference):
    heun = classical_table("heun", make_grid("uniform", 6))
    found = least_squares(Meter(oracle), reference, heun, SearchSettings())
    assert torch.equal(found.table.times, heun.times)
    assert rmse(oracle, found.table, reference) < rmse(oracle, heun, reference)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_velocity_that_is_not_finite_is_an_error(oracle, reference, value):
    def broken(x, t, label):
        return oracle(x, t, label) if t < 0.7 else torch.full_like(x, value) * x.sign()

    start = adams_table(make_grid("uniform", 4), 2)
    with pytest.raises(DivergedError, match="least squares met NaN or infinity"):
        least_squares(Meter(broken), reference, start, SearchSettings())


def test_the_history_is_the_distance_to_the_teacher_at_each_knot(oracle, reference):
    start = adams_table(make_grid("cosine", 5), 2)
    found = least_squares(Meter(oracle), reference, start, SearchSettings())
    label = reference.label
    for (_, distance), (_, state), knot in zip(
        found.history, steps(oracle, found.table, reference.noise, label), start.knots[1:],
        strict=True,
    ):  # fmt: skip
        off = (state - reference.at(knot)).square().mean().sqrt()
        assert distance == pytest.approx(float(off), abs=1e-5)
