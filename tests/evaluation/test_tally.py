"""Chunks that come in any order, some of them twice."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from dss_ray.evaluation.chunk import ChunkResult
from dss_ray.evaluation.statistics import Statistics
from dss_ray.evaluation.tally import Tally


def chunk(index: int) -> ChunkResult:
    """A chunk of 50 made-up features and errors."""
    features = torch.from_numpy(np.random.default_rng(index).normal(size=(50, 6)))
    error = float(features.square().sum()) / 7
    return ChunkResult(index, Statistics.of(features), "f", error, 300, 50, 150, 0.1 * index)


def figures(tally: Tally) -> tuple:
    """All that it has gathered, bit for bit."""
    assert tally.statistics
    return tally.statistics.mean.tolist(), tally.statistics.m2.tolist(), tally.result()


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_any_order_gives_the_same_bits(order):
    straight, shuffled = Tally(), Tally()
    for index in range(4):
        straight.add(chunk(index))
    for index in order:
        shuffled.add(chunk(index))
    assert figures(shuffled) == figures(straight)
    assert not shuffled.waiting


def test_a_chunk_that_comes_again_changes_nothing():
    tally = Tally()
    for index in (0, 0, 2, 2, 1, 0, 2):
        tally.add(chunk(index))
    assert tally.merged == 3
    assert tally.samples == 150
    once = Tally()
    for index in range(3):
        once.add(chunk(index))
    assert figures(tally) == figures(once)


def test_the_figures_are_those_of_all_samples_at_once():
    tally = Tally()
    for index in (2, 0, 1):
        tally.add(chunk(index))
    features = np.concatenate(
        [np.random.default_rng(index).normal(size=(50, 6)) for index in range(3)]
    )
    assert tally.statistics
    np.testing.assert_allclose(tally.statistics.mean, features.mean(0), atol=1e-14)
    np.testing.assert_allclose(tally.statistics.covariance, np.cov(features.T), rtol=1e-12)
    assert tally.result().rmse == pytest.approx(np.sqrt((features**2).sum() / 7 / 900))
    assert tally.result().evaluations == 450


def test_what_comes_early_waits():
    tally = Tally()
    tally.add(chunk(3))
    tally.add(chunk(1))
    assert (tally.merged, sorted(tally.waiting)) == (0, [1, 3])
    tally.add(chunk(0))
    assert (tally.merged, sorted(tally.waiting)) == (2, [3])


def test_figures_that_a_chunk_lacks_are_of_none():
    tally = Tally()
    for index in range(3):
        found = chunk(index)
        kept = torch.rand(50, 6) if index != 1 else None
        spatial = found.statistics if index != 1 else None
        tally.add(replace(found, spatial=spatial, logits=kept))
    result = tally.result()
    assert (result.samples, result.inception_score) == (150, None)
    assert tally.whole == {"statistics"}
