"""GB of memory that the networks of the shipped spaces take, on tensors without storage.

    python tests/benchmarks/space_memory.py [--names SiT-XL/2-256,Flux-dev-1024]

By network, in the type that its space asks for: the weights, with the autoencoder's; what is alive
at most in a call of as many samples as go through at once; in one tangent of one guided sample, the
least that Gauss-Newton takes; in the gradient of one sample; and in the decoding of as many latents
as go through at once. A search takes as many samples and tangents as its budget (``memory``, 1 GiB)
allows, so that a trial takes the weights and the largest of the rest, or 1 GiB. What kernels use
inside and what the allocator cannot reuse come on top. Needs the extra ``diffusers``.
"""

import argparse
from collections.abc import Callable
from math import prod
from typing import Any

import diffusers
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from dss_ray.models.diffusers_flux import FluxNetwork
from dss_ray.models.diffusers_networks import PixArtNetwork, PromptNetwork, SD3Network
from dss_ray.models.latents import AT_ONCE as DECODED
from dss_ray.models.network import AT_ONCE
from dss_ray.models.official import DTYPES, LATENT_CHANNELS, RESOLUTIONS, untrained
from dss_ray.models.prompts import EMBEDS, MASK, POOLED
from dss_ray.search.memory import peak

GB = 1e9
OFFICIAL = {
    f"{title}-{size.upper()}/2-{side}": (family, size, side)
    for family, title in (("sit", "SiT"), ("flowdcn", "FlowDCN"))
    for size, side in (("xl", 256), ("xl", 512), ("b", 256), ("s", 256))
}
# What the configs of these models say where they differ from the classes' defaults.
SD3 = {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536}
PIXART = {"sample_size": 64, "caption_channels": 4096, "use_additional_conditions": False}
AUTOENCODER = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
Prompted = tuple[type[PromptNetwork], dict[str, Any], int, str]  # config, tokens, dtype
PROMPTED: dict[str, Prompted] = {
    "SD3-medium-1024": (SD3Network, SD3 | {"pos_embed_max_size": 192}, 333, "float16"),
    "Flux-dev-1024": (FluxNetwork, {"guidance_embeds": True}, 512, "bfloat16"),
    "PixArt-XL/2-512": (PixArtNetwork, PIXART, 300, "float16"),
}


def prompted(kind: type[PromptNetwork], config: dict[str, Any], tokens: int) -> PromptNetwork:
    """A text-to-image transformer with one prompt."""
    transformer = getattr(diffusers, kind.kind)(**config)
    rows = {
        name: torch.ones(1, tokens, width) if name == EMBEDS else torch.ones(1, width or tokens)
        for name, width in kind.widths(transformer.config).items()
        if name in (EMBEDS, POOLED, MASK)
    }
    return kind(transformer, rows)


def built(name: str) -> tuple[nn.Module, nn.Module, tuple[int, int, int]]:
    """The network, the autoencoder and the shape of one latent, in the default dtype."""
    if name in OFFICIAL:
        family, size, resolution = OFFICIAL[name]
        network: nn.Module = untrained(family, size, resolution)
        shape = (LATENT_CHANNELS, RESOLUTIONS[resolution], RESOLUTIONS[resolution])
    else:
        kind, config, tokens, _ = PROMPTED[name]
        network = prompted(kind, config, tokens)
        channels, side, _ = kind.latents(network.transformer.config)
        shape = (channels, side, side)
    vae = diffusers.AutoencoderKL(latent_channels=shape[0], **AUTOENCODER)
    return network.requires_grad_(False).eval(), vae.requires_grad_(False).eval(), shape


def measured(name: str) -> list[float]:
    """GB of weights, a call, a tangent, a gradient and the decoding of a network."""
    torch.set_default_dtype(DTYPES[PROMPTED[name][-1] if name in PROMPTED else "float32"])
    network, vae, shape = built(name)
    rows = max(1, AT_ONCE // prod(shape))

    def batch(count: int) -> Tensor:
        return torch.empty(count, *shape)

    def velocity(x: Tensor) -> Tensor:
        found: Tensor = network(x, x.new_zeros(len(x)), torch.zeros(len(x), dtype=torch.long))
        return found

    def call() -> None:
        with torch.no_grad():
            velocity(batch(rows))

    def tangent() -> None:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            jvp(velocity, (batch(2),), (batch(2),))

    def gradient() -> None:
        velocity(batch(1).requires_grad_()).sum().backward()  # type: ignore[no-untyped-call]

    def decoding() -> None:
        with torch.no_grad():
            vae.decode(batch(DECODED)).sample  # noqa: B018

    held = sum(value.nbytes for one in (network, vae) for value in one.state_dict().values())
    jobs: list[Callable[[], None]] = [call, tangent, gradient, decoding]
    return [value / GB for value in (held, *(peak(job) for job in jobs))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--names", default=",".join([*OFFICIAL, *PROMPTED]))
    names = parser.parse_args().names.split(",")
    table = Table("network", "weights", "call", "tangent", "gradient", "decoding", title="GB")
    for name in track(names, console=Console(stderr=True)):
        with FakeTensorMode():
            table.add_row(name, *(f"{value:.2f}" for value in measured(name)))
    Console().print(table)


if __name__ == "__main__":
    main()
