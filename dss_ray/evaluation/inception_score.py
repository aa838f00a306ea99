"""The Inception score: how surely samples are classified, and how evenly over the classes."""

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from dss_ray.errors import DivergedError

SPLIT = 5000  # samples of one score, in their order, as in ADM's evaluator (arXiv 2105.05233)


def inception_score(logits: Tensor) -> float:
    """exp(E_x KL(p(y|x) || p(y))) (arXiv 1606.03498), averaged over splits of ``SPLIT`` samples.

    The last split may be smaller, and counts as much as the others. The score lies between 1 and
    the number of classes, and grows with the samples of a split: compare equal counts only.

    Args:
        logits: (N, K) of the samples in their order.

    Raises:
        DivergedError: if a logit is NaN or infinite.
    """
    if not logits.isfinite().all():
        raise DivergedError("inception score: the logits hold NaN or infinity; check the images")
    scores = torch.stack([score(part) for part in torch.split(logits, SPLIT)])
    return float(scores.mean())


def score(logits: Tensor) -> Tensor:
    """The score () of one split (B, K), in float64."""
    surely = log_softmax(logits.double(), 1)  # log p(y|x); a softmax of its own would give log 0
    evenly = surely.exp().mean(0).log()  # log p(y)
    divergence = (surely.exp() * (surely - evenly)).nan_to_num().sum(1)  # 0 log 0 = 0
    return divergence.mean().exp()
