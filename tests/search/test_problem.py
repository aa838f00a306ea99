"""Which samples a search trains on, and which tell nearly what all of them would."""

import pytest
import torch

from dss_ray.models.meter import Meter
from dss_ray.search.objective import make_objective
from dss_ray.search.problem import Problem
from dss_ray.search.space import make_space
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid

SAMPLES, TRAINED = 40, 30


@pytest.fixture
def problem(oracle, reference):
    space = make_space("whole", classical_table("ab2", make_grid("uniform", 3)))
    return Problem(Meter(oracle), reference, SAMPLES, space, make_objective("end"))


@pytest.fixture
def losses(problem):
    table = problem.space.table(problem.space.coordinates)
    return problem.losses(table, problem.training(7))


def identity(batch):
    """The numbers of the samples of a batch, known by their noise."""
    return batch.noise[:, 0].tolist()


def test_no_held_out_sample_is_trained_on(problem, losses, reference):
    assert len(losses) == TRAINED
    trained = {x for batch in problem.training(7) for x in identity(batch)}
    held_out = {x for batch in problem.held_out(7) for x in identity(batch)}
    chosen = {x for batch, _ in problem.hardest(losses, 6, 4, 0) for x in identity(batch)}
    assert not held_out & (trained | chosen)
    assert trained | held_out == set(identity(reference.batch(0, SAMPLES)))


@pytest.mark.parametrize("size", [3, 100])
def test_the_hardest_samples_are_taken_whole_and_the_others_stand_for_the_rest(
    problem, losses, reference, size
):
    numbers = identity(reference.batch(0, SAMPLES))
    chosen = list(problem.hardest(losses, 6, size, 0))
    assert sum(weight * len(batch.noise) for batch, weight in chosen) == TRAINED
    assert max(len(batch.noise) for batch, _ in chosen) <= size
    certain = {x for batch, weight in chosen if weight == 1 for x in identity(batch)}
    assert certain == {numbers[i] for i in losses.argsort(descending=True)[:6]}
    assert len({x for batch, _ in chosen for x in identity(batch)}) == 12


def test_what_the_chosen_samples_say_is_right_on_average(problem, losses):
    """Of some other quantity than the losses that chose them."""
    exact = sum(float(batch.noise.square().sum()) for batch in problem.training(7))
    estimates = torch.tensor(
        [
            sum(
                weight * float(batch.noise.square().sum())
                for batch, weight in problem.hardest(losses, 6, 100, seed)
            )
            for seed in range(400)
        ]
    )
    assert len(estimates.unique()) > 300
    assert abs(estimates.mean() - exact) < 3 * estimates.std() / len(estimates) ** 0.5


def test_all_samples_are_taken_where_they_are_few(problem, losses):
    chosen = list(problem.hardest(losses, TRAINED // 2, 7, 0))
    assert [weight for _, weight in chosen] == [1.0] * len(chosen)
    assert [identity(batch) for batch, _ in chosen] == [
        identity(batch) for batch in problem.training(7)
    ]
