"""What the shipped networks learn, and how long: one recipe per weights file."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from dss_ray.models import digits
from dss_ray.models.conventions import linear_alphas_cumprod
from dss_ray.models.features import digits_cnn, digits_mlp
from dss_ray.models.sit import SiT
from dss_ray.models.zoo import DIGITS_DIT_UNIT, DIGITS_SIT

LABEL_DROPOUT = 0.1
DDPM_ALPHAS = linear_alphas_cumprod()
LABEL_SMOOTHING = 0.1
PIXEL_NOISE = 0.1  # keeps the classifier from learning 1,497 images by heart


@dataclass(frozen=True)
class Recipe:
    """How a network is built and trained with AdamW at a cosine rate; its EMA is what ships.

    Args:
        build: makes the untrained network.
        loss: (network, images (B, 1, 8, 8), labels (B,), generator) -> scalar.
        steps: number of optimiser steps.
        batch: digits per step.
        rate: peak learning rate.
        weight_decay: AdamW's, decoupled.
        ema: decay of the moving average of the weights, per step.
        seed: of the first weights and of every step's random numbers.
    """

    build: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Tensor, Tensor, Generator], Tensor]
    steps: int
    batch: int
    rate: float
    weight_decay: float
    ema: float
    seed: int = 0


def flow_loss(network: nn.Module, data: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """Rectified flow: regress data - noise at t data + (1 - t) noise (arXiv 2209.03003, eq. 1).

    Times are logit-normal (arXiv 2403.03206, section 3.1); a tenth of the labels become null.
    """
    noise = torch.randn(data.shape, generator=generator)
    t = torch.randn(len(data), generator=generator).sigmoid()
    dropped = torch.rand(len(data), generator=generator) < LABEL_DROPOUT
    label = torch.where(dropped, digits.NUM_CLASSES, labels)
    weight = t.view(-1, 1, 1, 1)
    velocity: Tensor = network(weight * data + (1 - weight) * noise, t, label)
    return (velocity - (data - noise)).square().mean()


def noise_loss(network: nn.Module, data: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """DDPM's simple loss (arXiv 2006.11239, eq. 14), a tenth of the labels being null.

    Indices are uniform and fractional, log(a / s) lying on a line between two whole ones, as
    ``ddpm_path`` asks.
    """
    noise = torch.randn(data.shape, generator=generator)
    ratios = (DDPM_ALPHAS / (1 - DDPM_ALPHAS)).log() / 2  # log(a / s)
    index = torch.rand(len(data), generator=generator, dtype=torch.float64) * (len(ratios) - 1)
    below = index.floor().long()
    square = torch.sigmoid(2 * torch.lerp(ratios[below], ratios[below + 1], index - below))
    a, s = (part.sqrt().float().view(-1, 1, 1, 1) for part in (square, 1 - square))
    dropped = torch.rand(len(data), generator=generator) < LABEL_DROPOUT
    label = torch.where(dropped, digits.NUM_CLASSES, labels)
    time = DIGITS_DIT_UNIT * index.float()
    predicted: Tensor = network(a * data + s * noise, time, label)
    return (predicted - noise).square().mean()


def class_loss(network: nn.Module, data: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """Smoothed cross entropy of the labels of slightly noisy images."""
    images = digits.decode(data)
    noise = torch.randn(images.shape, generator=generator)
    return cross_entropy(
        network(images + PIXEL_NOISE * noise), labels, label_smoothing=LABEL_SMOOTHING
    )


RECIPES = {
    "digits-sit": Recipe(
        build=lambda: SiT(DIGITS_SIT),
        loss=flow_loss,
        steps=12_000,
        batch=128,
        rate=1.5e-3,
        weight_decay=0.01,
        ema=0.999,
    ),
    "digits-dit": Recipe(
        build=lambda: SiT(DIGITS_SIT),
        loss=noise_loss,
        steps=12_000,
        batch=128,
        rate=1.5e-3,
        weight_decay=0.01,
        ema=0.999,
    ),
    "digits-cnn": Recipe(
        build=digits_cnn,
        loss=class_loss,
        steps=2_000,
        batch=128,
        rate=2e-3,
        weight_decay=0.05,
        ema=0.995,
    ),
    "digits-mlp": Recipe(
        build=digits_mlp,
        loss=class_loss,
        steps=2_000,
        batch=128,
        rate=2e-3,
        weight_decay=0.05,
        ema=0.995,
        seed=1,
    ),
}
