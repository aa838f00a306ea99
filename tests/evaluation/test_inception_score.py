import numpy as np
import pytest
import torch
from torch import nn

from dss_ray.errors import DivergedError
from dss_ray.evaluation import inception_score as module
from dss_ray.evaluation.inception_score import inception_score


def logits(count, classes=7, seed=0):
    return 2 * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed))


def textbook(logits):
    """The paper's formula on probabilities, as ADM's evaluator writes it."""
    p = np.exp(logits.double().numpy())
    p /= p.sum(1, keepdims=True)
    divergence = p * (np.log(p) - np.log(p.mean(0, keepdims=True)))
    return np.exp(divergence.sum(1).mean())


def test_it_is_the_textbooks_on_one_split():
    assert inception_score(logits(400)) == pytest.approx(textbook(logits(400)), rel=1e-12)


def test_splits_of_consecutive_samples_are_averaged_and_the_rest_counts_as_one(monkeypatch):
    monkeypatch.setattr(module, "SPLIT", 50)
    whole = logits(120)
    expected = np.mean([textbook(whole[:50]), textbook(whole[50:100]), textbook(whole[100:])])
    assert inception_score(whole) == pytest.approx(expected, rel=1e-12)


def test_a_split_holds_5000_samples():
    whole = logits(5200)
    expected = (textbook(whole[:5000]) + textbook(whole[5000:])) / 2
    assert inception_score(whole) == pytest.approx(expected, rel=1e-12)


def test_sure_and_even_samples_score_the_number_of_classes_and_doubtful_ones_score_one():
    sure = torch.eye(10).repeat(30, 1) * 2000  # the other probabilities underflow to zero
    assert inception_score(sure) == pytest.approx(10, rel=1e-12)
    assert inception_score(torch.zeros(50, 10)) == pytest.approx(1, rel=1e-12)
    assert inception_score(sure[:1].repeat(50, 1)) == pytest.approx(1, rel=1e-12)


def test_it_agrees_with_torchmetrics():
    from torchmetrics.image.inception import InceptionScore

    class Plain(nn.Module):
        def forward(self, images):
            return images.flatten(1)

    judge = InceptionScore(feature=Plain(), splits=1)
    judge.update(logits(300).view(300, 7, 1, 1))
    assert inception_score(logits(300)) == pytest.approx(judge.compute()[0].item(), rel=1e-5)


def test_nan_is_refused():
    broken = logits(10)
    broken[3, 2] = torch.nan
    with pytest.raises(DivergedError, match="NaN"):
        inception_score(broken)
