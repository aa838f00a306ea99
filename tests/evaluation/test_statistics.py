from functools import reduce

import numpy as np
import pytest
import torch

from dss_ray.errors import DivergedError, UsageError
from dss_ray.evaluation.statistics import Statistics


def features(count, dim=20, offset=1000.0):
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, dim, generator=generator, dtype=torch.float64) + offset


def test_merged_chunks_agree_with_numpy_on_the_whole_far_from_zero():
    whole = features(1797)
    merged = reduce(Statistics.merge, map(Statistics.of, whole.split(250)))
    expected = np.cov(whole.numpy(), rowvar=False)
    assert merged.n == 1797
    np.testing.assert_allclose(merged.mean, whole.numpy().mean(0), rtol=1e-14)
    np.testing.assert_allclose(merged.covariance, expected, rtol=0, atol=1e-12)


def test_merging_nothing_changes_no_bit():
    some = Statistics.of(features(100))
    merged = Statistics.empty(20).merge(some)
    assert merged.n == some.n
    assert torch.equal(merged.mean, some.mean)
    assert torch.equal(merged.m2, some.m2)


def test_single_vectors_merge_to_the_whole():
    whole = features(50)
    merged = reduce(Statistics.merge, map(Statistics.of, whole.split(1)))
    torch.testing.assert_close(merged.m2, Statistics.of(whole).m2, rtol=1e-11, atol=1e-9)


def test_nan_features_are_refused():
    broken = features(10)
    broken[3, 4] = torch.nan
    with pytest.raises(DivergedError, match="NaN"):
        Statistics.of(broken)


def test_features_of_other_lengths_do_not_merge():
    with pytest.raises(UsageError, match="length 20 and 3"):
        Statistics.of(features(10)).merge(Statistics.of(features(10, dim=3)))


def test_one_vector_has_no_covariance():
    with pytest.raises(UsageError, match="at least 2 samples, got 1"):
        _ = Statistics.of(features(1)).covariance
