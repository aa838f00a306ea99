"""The paper's recipe: its parameters, start, loss, teacher and, in full, its outcome."""

from functools import partial

import pytest
import torch

from dss_ray.models.guidance import guide
from dss_ray.models.teacher import Teacher
from dss_ray.search import descent
from dss_ray.search import paper as recipe
from dss_ray.search.lion import Lion
from dss_ray.search.paper import (
    EulerStream,
    coefficient_mask,
    euler_table,
    paper_objective,
    paper_space,
)
from dss_ray.search.result import SearchSettings
from dss_ray.search.run import run_search
from dss_ray.solver.sampling import sample, steps


@pytest.mark.parametrize("chain", ["paper", "paper+gradient"])
@pytest.mark.parametrize("writes", [7, 21])  # in the middle of the recipe, and after it
def test_a_resumed_search_counts_the_whole_reference(
    memory, counted, tmp_path, monkeypatch, chain, writes
):
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path))
    monkeypatch.setattr(recipe, "ITERATIONS", 20)
    monkeypatch.setattr(descent, "JOURNAL_SECONDS", 0)
    search = partial(run_search, counted, 3, method=chain, settings=SearchSettings(iterations=2))
    journal = memory(writes)
    with pytest.raises(KeyboardInterrupt):
        search(journal=journal)
    resumed, whole = search(journal=journal), search()
    assert resumed.reference_evaluations == whole.reference_evaluations >= 20 * 32 * 100
    assert resumed.reference_seconds == pytest.approx(whole.reference_seconds, rel=1e-12)
    assert resumed.evaluations == whole.evaluations
    assert resumed.table.to_json() == whole.table.to_json()


@pytest.fixture
def stream(counted):
    return EulerStream(Teacher(guide(counted, 1.0), "search", 0))


@pytest.mark.parametrize("nfe", range(1, 16))
def test_it_searches_the_published_number_of_parameters(nfe):
    mask, start = coefficient_mask(nfe), paper_space(nfe, 0.0, 1.0).coordinates
    limits = {5: 2 + 3, 6: 3 + 4}  # the last two rows keep one coefficient each
    assert len(start) == nfe + nfe * (nfe - 1) // 2 - limits.get(nfe, 0)
    assert len(start) == nfe + int(mask.sum())
    assert not mask.triu().any()
    assert mask.diagonal(-1).all()


def test_it_starts_as_euler_on_the_uniform_grid():
    space = paper_space(6, 0.0, 1.0)
    assert not space.coordinates.any()
    table = space.table(space.coordinates)
    torch.testing.assert_close(table.knots, torch.linspace(0, 1, 7, dtype=torch.float64))
    torch.testing.assert_close(table.weights, torch.ones(6, 6).double().tril() / 6)


def test_its_coefficients_stay_within_the_published_orders():
    space = paper_space(6, 0.1, 0.9)
    moved = space.table(torch.linspace(0.1, 0.9, len(space.coordinates), dtype=torch.float64))
    rows = moved.weights.diff(dim=0, prepend=torch.zeros(1, 6).double())
    assert torch.equal(rows != 0, coefficient_mask(6).logical_or(torch.eye(6).bool()))


def test_its_numbers_are_the_published_ones():
    steps_of_descent = recipe.ITERATIONS, recipe.BATCH_SIZE, recipe.LEARNING_RATE
    assert steps_of_descent == (1565, 32, 0.01)
    assert recipe.TEACHER_STEPS == 100


def test_its_teacher_takes_a_hundred_euler_steps_on_fresh_noises(stream, counted, oracle):
    batch, other = stream.batch(3, 32), stream.batch(4, 32)
    state, label = Teacher(guide(oracle, 1.0), "search", 0).noise(96, 32)
    assert torch.equal(batch.noise, state)
    for i in range(100):
        state = state + oracle(state, torch.tensor(i / 100), label) / 100
    torch.testing.assert_close(batch.end, state, atol=1e-5, rtol=0)
    assert not (batch.noise[:, None] == other.noise).all(-1).any()
    assert counted.samples == 100 * 5 * 32  # one block serves both


def test_its_targets_are_the_nearest_states(stream):
    batch = stream.batch(0, 4)
    for time, index in ((0.0, 0), (0.304, 30), (0.306, 31), (1.0, 100)):
        assert torch.equal(batch.at(torch.tensor(time).double()), batch.states[index])


def test_its_teacher_keeps_the_ends_of_the_models_time_exactly(oracle):
    teacher = Teacher(guide(oracle, 1.0), "search", 0, (0.006594, 0.989623))
    knots = EulerStream(teacher).batch(0, 1).times
    assert (float(knots[0]), float(knots[-1])) == (0.006594, 0.989623)


def published_loss(states, batch, knots):
    """Sum over the knots of the mean square error, plus 1000 Huber(0.001) of the end."""
    total = 0.0
    for state, knot in zip(states, knots.tolist()[1:], strict=True):
        total += ((state - batch.states[round(100 * knot)]) ** 2).double().mean()
    off = (states[-1] - batch.states[-1]).double().abs()
    huber = torch.where(off <= 0.001, off**2 / 2, 0.001 * (off - 0.0005))
    return total + 1000 * huber.mean()


def test_its_loss_is_the_published_one(oracle, stream):
    batch, table = stream.batch(0, 32), euler_table(7, 0.0, 1.0)
    states = [state for _, state in steps(oracle, table, batch.noise, batch.label)]
    ours = paper_objective(states, batch, table)
    assert float(ours) == pytest.approx(float(published_loss(states, batch, table.knots)), rel=1e-4)


def rates_of(monkeypatch):
    """The learning rate of every Lion step from now on."""
    rates, step = [], Lion.step

    def recorded(self, closure=None):
        rates.append(self.param_groups[0]["lr"])
        return step(self, closure)

    monkeypatch.setattr(Lion, "step", recorded)
    return rates


@pytest.mark.slow
def test_it_runs_in_full_and_beats_euler(oracle, counted, monkeypatch):
    nfe, rates = 5, rates_of(monkeypatch)
    found = run_search(counted, nfe, method="paper", guidance=2.0)
    assert rates == [0.01] * 1565
    samples = 32 * 1565 + 3  # three tell how much memory the search takes
    assert found.evaluations == 3 * nfe * samples
    assert found.reference_evaluations == 100 * 32 * 1565
    assert counted.samples == nfe * samples + found.reference_evaluations
    judge = Teacher(guide(oracle, 1.0), "evaluation", 0)
    (noise, label), end = judge.noise(0, 1000), judge.ends(0, 1000)
    ours, euler = (
        (sample(oracle, table, noise, label) - end).square().mean()
        for table in (found.table, euler_table(nfe, 0.0, 1.0))
    )
    assert ours < euler / 4
    rows = found.table.weights.diff(dim=0, prepend=torch.zeros(1, nfe).double())
    assert (rows[~coefficient_mask(nfe).logical_or(torch.eye(nfe).bool())] == 0).all()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(oracle):
    one, other = (run_search(oracle, 3, method="paper").table for _ in range(2))
    assert torch.equal(one.weights, other.weights)
    assert torch.equal(one.knots, other.knots)


def test_another_seed_is_another_stream(oracle):
    teachers = (Teacher(guide(oracle, 1.0), "search", seed) for seed in (0, 1))
    one, other = (EulerStream(teacher).batch(0, 32) for teacher in teachers)
    assert not (one.noise[:, None] == other.noise).all(-1).any()
