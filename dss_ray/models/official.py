"""DiT, SiT and FlowDCN on ImageNet latents, from their official checkpoints on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dss_ray.errors import UsageError, require_known
from dss_ray.models.conventions import ConvertedModel, ddpm_path, linear_alphas_cumprod
from dss_ray.models.flowdcn import FlowDCN, FlowDCNSettings
from dss_ray.models.foreign import fill, read_weights
from dss_ray.models.latents import load_decoder
from dss_ray.models.network import NetworkModel
from dss_ray.models.sit import SiT, SiTSettings

SIZES = {"s": (384, 12, 6), "b": (768, 12, 12), "l": (1024, 24, 16), "xl": (1152, 28, 16)}
RESOLUTIONS = {256: 32, 512: 64}  # pixels of an image, height and width of its latent
LATENT_CHANNELS = 4
GUIDED_CHANNELS = {"dit": 3, "sit": 3, "flowdcn": None}  # of 4, as the official samplers do
DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}


def untrained(family: str, size: str, resolution: int) -> SiT | FlowDCN:
    """The untrained network; S, B, L and XL as the papers' tables have them.

    Width, depth and heads (groups) are those of DiT (arXiv 2212.09748, table 1) and FlowDCN
    (arXiv 2410.22655, table 1), the patch size 2.
    """
    width, depth, heads = SIZES[size]
    side = RESOLUTIONS[resolution]
    if family == "flowdcn":
        return FlowDCN(FlowDCNSettings(side, hidden_size=width, depth=depth, groups=heads))
    return SiT(SiTSettings(side, hidden_size=width, depth=depth, num_heads=heads))


def build(
    family: str,
    size: str,
    resolution: int,
    *,
    path: str | None = None,
    vae: str | None = None,
    dtype: str = "float32",
    features: str | None = None,
) -> NetworkModel | ConvertedModel:
    """The velocity of an official checkpoint, on latents times the autoencoder's scaling factor.

    SiT and FlowDCN return the velocity itself at t in [0, 1]; DiT predicts the noise at the indices
    0 to 999 of DDPM's linear betas.

    Args:
        family: "dit", "sit" or "flowdcn".
        size: "s", "b", "l" or "xl".
        resolution: of the images, 256 or 512.
        path: the checkpoint, a .pt or .safetensors file.
        vae: folder of the diffusers AutoencoderKL that decodes the latents; without one there are
            no images, so no FID.
        dtype: of the weights, "float32", "bfloat16" or "float16".
        features: name of the extractor that judges the images.

    Raises:
        UsageError: if no path is given, the dtype is unknown, or features lack a decoder.
        FileError: if a file is missing, corrupt, or of another model.
    """
    name = f"{family}-{size}-{resolution}"
    if path is None:
        raise UsageError(
            f"model '{name}' ships without weights; name its checkpoint, as in '{name}?path=FILE'"
        )
    require_known("dtype", dtype, DTYPES)
    if features is not None and vae is None:
        raise UsageError(
            f"model '{name}': features '{features}' need images; name the decoder's folder, as in "
            f"'{name}?path={path}&vae=FOLDER'"
        )
    with torch.device("meta"):
        network = untrained(family, size, resolution)
    fill(network, read_weights(Path(path)), path)
    decoder = load_decoder(vae, dtype) if vae else None
    model = NetworkModel(
        network.to(DTYPES[dtype]),
        name,
        (LATENT_CHANNELS, *2 * [RESOLUTIONS[resolution]]),
        network.size.num_classes,
        settings=(network.size, decoder and decoder.fingerprint),
        features=features,
        decode=decoder,
        guided_channels=GUIDED_CHANNELS[family],
    )
    if family == "dit":
        return ConvertedModel(model, "noise", ddpm_path(linear_alphas_cumprod()))
    return model


OFFICIAL: dict[str, Callable[..., Any]] = {
    f"{family}-{size}-{resolution}": partial(build, family, size, resolution)
    for family in GUIDED_CHANNELS
    for size in SIZES
    for resolution in RESOLUTIONS
}
