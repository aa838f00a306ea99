"""The small trained networks that ship with the package, as models."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TypeVar

from torch import Tensor, nn

from dss_ray.models import autoencoder, checkpoint, digits, labelled, mnist
from dss_ray.models.autoencoder import Autoencoder
from dss_ray.models.conventions import ConvertedModel, ddpm_path, linear_alphas_cumprod
from dss_ray.models.flowdcn import FlowDCN, FlowDCNSettings
from dss_ray.models.network import NetworkModel
from dss_ray.models.sit import SiT, SiTSettings

Network = TypeVar("Network", bound=nn.Module)

DIGITS_SIT = SiTSettings(
    input_size=8,
    patch_size=2,
    in_channels=1,
    hidden_size=64,
    depth=4,
    num_heads=4,
    mlp_ratio=2.0,
    num_classes=labelled.NUM_CLASSES,
    learn_sigma=False,
)
DIGITS_FLOWDCN = FlowDCNSettings(
    input_size=8,
    patch_size=2,
    in_channels=1,
    hidden_size=64,
    depth=4,
    groups=4,
    num_classes=labelled.NUM_CLASSES,
    learn_sigma=False,
)
MNIST_SIT_S = replace(DIGITS_SIT, input_size=28, patch_size=4, hidden_size=80)
MNIST_SIT_B = replace(MNIST_SIT_S, hidden_size=128, depth=6)
MNIST_LATENT_SIT = replace(
    DIGITS_SIT,
    input_size=autoencoder.LATENT[1],
    patch_size=1,
    in_channels=autoencoder.LATENT[0],
    hidden_size=96,
)
# The embedding turns by one radian per unit. With unit 1, as in the official DiT, the same network
# wiggles from index to index: its slope in time at t = 0.5 is off by half from that over 0.01; with
# this unit by 0.2 %, at the same loss.
DIGITS_DIT_UNIT = 0.05


def restored(name: str, network: Network) -> Network:
    """``network`` with the shipped weights of that name."""
    checkpoint.restore(network, checkpoint.SHIPPED / f"{name}.safetensors")
    return network


def shipped(
    name: str,
    network: SiT | FlowDCN,
    shape: tuple[int, ...],
    features: str,
    *,
    decode: Callable[[Tensor], Tensor] = labelled.decode,
    settings: object = None,
) -> NetworkModel:
    """The class-conditional model of a shipped network of ten digits."""
    return NetworkModel(
        restored(name, network),
        name,
        shape,
        labelled.NUM_CLASSES,
        settings=settings or network.size,
        features=features,
        decode=decode,
    )


def digits_sit() -> NetworkModel:
    """A rectified flow of digits."""
    return shipped("digits-sit", SiT(DIGITS_SIT), digits.SHAPE, "digits-cnn")


def digits_flowdcn() -> NetworkModel:
    """A rectified flow of digits with deformable convolutions in place of attention.

    Its velocity has kinks where a point crosses a pixel and jumps where one crosses the border, so
    that fine solvers converge at an order of about 1.6.
    """
    return shipped("digits-flowdcn", FlowDCN(DIGITS_FLOWDCN), digits.SHAPE, "digits-cnn")


def digits_dit() -> ConvertedModel:
    """A DDPM of digits: the network of ``digits_sit`` trained to predict noise, linear betas."""
    path = ddpm_path(linear_alphas_cumprod(), DIGITS_DIT_UNIT)
    network = shipped("digits-dit", SiT(DIGITS_SIT), digits.SHAPE, "digits-cnn")
    return ConvertedModel(network, "noise", path)


def mnist_sit_s() -> NetworkModel:
    """A rectified flow of MNIST digits, the smaller one."""
    return shipped("mnist-sit-s", SiT(MNIST_SIT_S), mnist.SHAPE, "mnist-cnn")


def mnist_sit_b() -> NetworkModel:
    """A rectified flow of MNIST digits, the larger one."""
    return shipped("mnist-sit-b", SiT(MNIST_SIT_B), mnist.SHAPE, "mnist-cnn")


def mnist_latent_sit() -> NetworkModel:
    """A rectified flow in the latents of a small autoencoder of MNIST digits."""
    decoder = mnist_autoencoder()
    return shipped(
        "mnist-latent-sit",
        SiT(MNIST_LATENT_SIT),
        autoencoder.LATENT,
        "mnist-cnn",
        decode=decoder,
        settings=(MNIST_LATENT_SIT, checkpoint.fingerprint(decoder.state_dict())),
    )


def mnist_autoencoder() -> Autoencoder:
    """The trained autoencoder of ``mnist_latent_sit``."""
    return restored("mnist-autoencoder", Autoencoder()).requires_grad_(False).eval()


@cache
def mnist_latents(part: str) -> labelled.Labelled:
    """A part of the MNIST digits as latents (B, 4, 7, 7)."""
    images, labels = mnist.images(part)
    return labelled.Labelled(mnist_autoencoder().encode(labelled.decode(images)), labels)
