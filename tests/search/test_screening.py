"""Screening: where queries are delayed, what it costs, and that what it returns is the nearest."""

import pytest
import torch

from dss_ray.models.guidance import guide
from dss_ray.models.meter import Meter
from dss_ray.search.least_squares import least_squares
from dss_ray.search.result import SearchSettings
from dss_ray.search.screening import (
    KEPT,
    Origin,
    grid_of,
    nearest,
    screen,
    screened_samples,
)
from dss_ray.solver.sampling import sample

SETTINGS = SearchSettings(samples=64)


def screened(oracle, reference, nfe, grids, settings=SETTINGS):
    velocity = Meter(oracle)
    model = guide(oracle, 1.0)
    found = screen(velocity, reference, model, settings, nfe, grids=grids)
    return grid_of(found.table, model, grids), found, velocity


def test_delays_move_the_first_queries_by_fractions_of_their_steps(oracle):
    table = Origin("uniform", delays=(0.5, 0.25)).table(guide(oracle, 1.0), 4)
    assert table.times.tolist() == [0.125, 0.3125, 0.5, 0.75]
    assert table.knots.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    one = Origin("uniform", delays=(0.5, 0.25)).table(guide(oracle, 1.0), 1)
    assert one.times.tolist() == [0.5]


@pytest.mark.parametrize("space", ["auto", "whole", "velocity", "ab2"])
@pytest.mark.parametrize("grids", [("cosine",), ("uniform", "cosine", "shift:0.7", "power:1:1.4")])
@pytest.mark.parametrize("nfe", [1, 4])
def test_it_costs_the_samples_that_it_says(oracle, reference, nfe, grids, space):
    settings = SearchSettings(samples=64, space=space)
    _, result, velocity = screened(oracle, reference, nfe, grids, settings)
    expected = nfe * screened_samples(settings, guide(oracle, 1.0), nfe, grids)
    assert result.evaluations == velocity.evaluations == expected


@pytest.mark.parametrize(("space", "free"), [("whole", True), ("velocity", False), ("ab2", False)])
def test_rows_are_free_in_the_whole_space_alone(oracle, reference, space, free):
    _, result, _ = screened(oracle, reference, 4, ("cosine",), SearchSettings(64, space=space))
    assert result.table.free == free
    if not free:
        assert torch.equal(result.table.times, result.table.knots[:-1])


@pytest.mark.parametrize("nfe", [3, 6])
def test_the_result_ends_where_its_history_says_and_nearer_than_undelayed_rows(
    oracle, reference, nfe
):
    grid, result, _ = screened(oracle, reference, nfe, ("uniform", "cosine"))
    batch = reference.batch(0, 64)
    end = sample(oracle, result.table, batch.noise, batch.label)
    reached = float((end - batch.end).square().mean().sqrt())
    assert reached == pytest.approx(result.history[-1][1], rel=1e-3)
    plain = Origin(grid).table(guide(oracle, 1.0), nfe)
    undelayed = least_squares(Meter(oracle), reference, plain, SETTINGS)
    assert reached <= undelayed.history[-1][1]


def test_the_nearest_come_first_and_others_are_dropped(oracle, reference):
    start = {
        Origin(name): Origin(name).table(guide(oracle, 1.0), 4)
        for name in ("uniform", "cosine", "shift:0.7", "power:1:1.4", "power:2:2")
    }
    found = {
        origin: least_squares(Meter(oracle), reference, table, SETTINGS)
        for origin, table in start.items()
    }
    ends = [found[origin].history[-1][1] for origin in nearest(found)]
    assert len(ends) == KEPT
    assert ends == sorted(result.history[-1][1] for result in found.values())[:KEPT]
