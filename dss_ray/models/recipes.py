"""What the shipped networks learn, and how long: one recipe per weights file."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from dss_ray.models import digits, mnist, shipped
from dss_ray.models.autoencoder import Autoencoder
from dss_ray.models.conventions import linear_alphas_cumprod
from dss_ray.models.features import digits_cnn, digits_mlp, mnist_cnn, mnist_mlp
from dss_ray.models.flowdcn import FlowDCN
from dss_ray.models.labelled import NUM_CLASSES, Labelled, decode
from dss_ray.models.sit import SiT

LABEL_DROPOUT = 0.1
DDPM_ALPHAS = linear_alphas_cumprod()
LABEL_SMOOTHING = 0.1
PIXEL_NOISE = 0.1  # keeps the classifier from learning 1,497 images by heart
LATENT_NOISE = 0.1  # keeps latents from holding what a flow would have to hit exactly


@dataclass(frozen=True)
class Recipe:
    """How a network is built and trained with AdamW at a cosine rate; its EMA is what ships.

    Args:
        build: makes the untrained network.
        loss: (network, states (B, C, H, W), labels (B,), generator) -> scalar.
        data: the states and labels of a part of the data.
        steps: number of optimiser steps.
        batch: states per step.
        rate: peak learning rate.
        weight_decay: AdamW's, decoupled.
        ema: decay of the moving average of the weights, per step.
        seed: of the first weights and of every step's random numbers.
        horizon: step at which the cosine would reach zero, if it is not the last.
    """

    build: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Tensor, Tensor, Generator], Tensor]
    data: Callable[[str], Labelled]
    steps: int
    batch: int
    rate: float
    weight_decay: float
    ema: float
    seed: int = 0
    horizon: int | None = None


def normal(like: Tensor, generator: Generator) -> Tensor:
    """Standard normal numbers like ``like``, the same on every device."""
    return torch.randn(like.shape, generator=generator).to(like.device)


def with_dropped(labels: Tensor, generator: Generator) -> Tensor:
    """The labels, a tenth of them null."""
    dropped = torch.rand(len(labels), generator=generator) < LABEL_DROPOUT
    return torch.where(dropped.to(labels.device), NUM_CLASSES, labels)


def flow_loss(network: nn.Module, data: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """Rectified flow: regress data - noise at t data + (1 - t) noise (arXiv 2209.03003, eq. 1).

    Times are logit-normal (arXiv 2403.03206, section 3.1); a tenth of the labels become null.
    """
    noise = normal(data, generator)
    t = normal(data[:, 0, 0, 0], generator).sigmoid()
    label = with_dropped(labels, generator)
    weight = t.view(-1, 1, 1, 1)
    velocity: Tensor = network(weight * data + (1 - weight) * noise, t, label)
    return (velocity - (data - noise)).square().mean()


def noise_loss(network: nn.Module, data: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """DDPM's simple loss (arXiv 2006.11239, eq. 14), a tenth of the labels being null.

    Indices are uniform and fractional, log(a / s) lying on a line between two whole ones, as
    ``ddpm_path`` asks.
    """
    noise = normal(data, generator)
    ratios = (DDPM_ALPHAS / (1 - DDPM_ALPHAS)).log() / 2  # log(a / s)
    index = torch.rand(len(data), generator=generator, dtype=torch.float64) * (len(ratios) - 1)
    below = index.floor().long()
    square = torch.sigmoid(2 * torch.lerp(ratios[below], ratios[below + 1], index - below))
    a, s = (part.sqrt().to(data).view(-1, 1, 1, 1) for part in (square, 1 - square))
    label = with_dropped(labels, generator)
    time = shipped.DIGITS_DIT_UNIT * index.to(data)
    predicted: Tensor = network(a * data + s * noise, time, label)
    return (predicted - noise).square().mean()


def class_loss(network: nn.Module, data: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """Smoothed cross entropy of the labels of slightly noisy images."""
    images = decode(data)
    noisy = images + PIXEL_NOISE * normal(images, generator)
    return cross_entropy(network(noisy), labels, label_smoothing=LABEL_SMOOTHING)


def reconstruction_loss(
    network: nn.Module, data: Tensor, labels: Tensor, generator: Generator
) -> Tensor:
    """Cross entropy of the pixels that come back from slightly noisy latents."""
    del labels
    assert isinstance(network, Autoencoder)
    images = decode(data)
    latents = network.encode(images)
    noisy = latents + LATENT_NOISE * normal(latents, generator)
    return binary_cross_entropy_with_logits(network.logits(noisy), images)


def flow(
    build: Callable[[], nn.Module], data: Callable[[str], Labelled], steps: int, batch: int
) -> Recipe:
    """The recipe of a rectified flow."""
    return Recipe(
        build=build,
        loss=flow_loss,
        data=data,
        steps=steps,
        batch=batch,
        rate=1.5e-3,
        weight_decay=0.01,
        ema=0.999,
    )


def classifier(
    build: Callable[[], nn.Module], data: Callable[[str], Labelled], seed: int = 0
) -> Recipe:
    """The recipe of a feature extractor."""
    return Recipe(
        build=build,
        loss=class_loss,
        data=data,
        steps=2_000,
        batch=128,
        rate=2e-3,
        weight_decay=0.05,
        ema=0.995,
        seed=seed,
    )


DIGITS_SIT = flow(lambda: SiT(shipped.DIGITS_SIT), digits.images, 12_000, 128)
RECIPES = {
    "digits-sit": DIGITS_SIT,
    "digits-dit": replace(DIGITS_SIT, loss=noise_loss),
    "digits-flowdcn": flow(lambda: FlowDCN(shipped.DIGITS_FLOWDCN), digits.images, 12_000, 128),
    "mnist-sit-s": flow(lambda: SiT(shipped.MNIST_SIT_S), mnist.images, 20_000, 128),
    "mnist-sit-b": replace(
        flow(lambda: SiT(shipped.MNIST_SIT_B), mnist.images, 13_000, 128), horizon=20_000
    ),
    "mnist-autoencoder": replace(
        classifier(Autoencoder, mnist.images), loss=reconstruction_loss, steps=6_000
    ),
    "mnist-latent-sit": replace(
        flow(lambda: SiT(shipped.MNIST_LATENT_SIT), shipped.mnist_latents, 11_000, 128),
        horizon=20_000,
    ),
    "digits-cnn": classifier(digits_cnn, digits.images),
    "digits-mlp": classifier(digits_mlp, digits.images, seed=1),
    "mnist-cnn": classifier(mnist_cnn, mnist.images),
    "mnist-mlp": classifier(mnist_mlp, mnist.images, seed=1),
}
