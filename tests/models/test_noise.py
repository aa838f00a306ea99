import time
from hashlib import sha256

import numpy as np
import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.models.noise import DOMAINS, draw

SHAPE = (1, 8, 8)


def test_any_chunking_gives_the_same_samples_and_labels() -> None:
    whole, labels = draw(SHAPE, 10, "search", 3, 0, 60)
    chunks = [draw(SHAPE, 10, "search", 3, first, 20) for first in (0, 20, 40)]
    assert torch.equal(whole, torch.cat([noise for noise, _ in chunks]))
    assert labels is not None
    assert torch.equal(labels, torch.arange(60) % 10)
    assert torch.equal(labels[40:], chunks[2][1])


def test_domains_seeds_and_samples_share_no_numbers() -> None:
    draws = [draw(SHAPE, None, domain, seed, 0, 50)[0] for domain in DOMAINS for seed in (0, 1)]
    values = torch.cat(draws).flatten(1)
    assert torch.corrcoef(values).fill_diagonal_(0).abs().max() < 0.7
    assert len(values.unique(dim=0)) == len(values)


@pytest.mark.parametrize("first", [0, 7, 49_999])
def test_a_sample_is_the_first_of_a_generator_of_its_own(first: int) -> None:
    key = np.frombuffer(sha256(b"evaluation:3").digest(), dtype="<u8", count=2)
    found, _ = draw((3, 5), None, "evaluation", 3, first, 4)
    for offset, sample in enumerate(found):
        stream = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, first + offset, 0]))
        np.testing.assert_array_equal(sample, stream.standard_normal((3, 5), np.float32))


def test_noise_is_standard_normal() -> None:
    values = draw(SHAPE, None, "evaluation", 0, 0, 4000)[0].double().flatten()
    assert abs(values.mean()) < 0.01
    assert abs(values.var() - 1) < 0.01
    assert abs(values.pow(4).mean() - 3) < 0.05


def test_unconditional_models_get_no_label_and_scalars_no_shape() -> None:
    noise, label = draw((), None, "selection", 0, 5, 3)
    assert noise.shape == (3,)
    assert noise.dtype == torch.float32
    assert label is None


def test_a_sample_costs_less_than_a_tenth_of_a_millisecond() -> None:
    start = time.process_time()
    draw(SHAPE, 10, "search", 0, 0, 5000)
    assert time.process_time() - start < 0.5


def test_unknown_domain_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="evaluation"):
        draw(SHAPE, 10, "evaluate", 0, 0, 1)
