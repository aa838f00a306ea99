"""Flux's transformer as a network of latents, which are packed into tokens here alone."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dss_ray.models.diffusers_networks import PromptNetwork, SD3Network
from dss_ray.models.prompts import EMBEDS, POOLED

PATCH = 2  # pixels of a latent, each way, that make a token
SIDE = 128  # of the latents of an image of 1024 x 1024 pixels
GUIDANCE = 3.5  # of the pipeline, for guidance-distilled transformers


class FluxNetwork(PromptNetwork):
    """The velocity of a FluxTransformer2DModel, on latents that are packed here alone.

    Args:
        transformer: the FluxTransformer2DModel.
        prompts: the tensors of ``read_prompts``.
        guidance: the scale that a guidance-distilled transformer embeds; others do not see it.
    """

    kind = "FluxTransformer2DModel"

    @staticmethod
    def widths(config: Any) -> dict[str, int]:
        """Embeddings and pooled embeddings, as in SD3."""
        return SD3Network.widths(config)

    @staticmethod
    def latents(config: Any) -> tuple[int, int, int]:
        """A quarter of the tokens' channels; the config knows no side, the pipeline takes this."""
        return config.in_channels // PATCH**2, SIDE, PATCH

    def __init__(
        self, transformer: Any, prompts: Mapping[str, Tensor], guidance: float = GUIDANCE
    ) -> None:
        super().__init__(transformer, prompts)
        self.guidance = guidance
        self.settings = guidance if transformer.config.guidance_embeds else None

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The velocity (B, C, H, W) at x (B, C, H, W), t (B,) and label (B,)."""
        embeds, pooled = self.rows(EMBEDS, label), self.rows(POOLED, label)
        grid = tuple(side // PATCH for side in x.shape[-2:])
        conditions = {
            "encoder_hidden_states": embeds,
            "pooled_projections": pooled,
            "img_ids": positions(*grid).to(x.device),
            "txt_ids": torch.zeros(embeds.shape[1], 3, device=x.device),
        }
        if self.transformer.config.guidance_embeds:
            conditions["guidance"] = x.new_full((len(x),), self.guidance)
        return -unpack(self.predicted(pack(x), 1 - t, **conditions), *grid)


def pack(x: Tensor) -> Tensor:
    """Latents (B, C, H, W) as tokens (B, H W / 4, 4 C) of 2 x 2 pixels, channels first."""
    batch, channels, height, width = x.shape
    patches = x.reshape(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpack(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """What ``pack`` made of latents (B, C, 2 rows, 2 columns), as latents again."""
    patches = tokens.reshape(len(tokens), rows, columns, -1, PATCH, PATCH)
    return patches.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def positions(rows: int, columns: int) -> Tensor:
    """Flux's coordinates (rows * columns, 3) of image tokens: 0, the row and the column."""
    grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    return torch.cat([torch.zeros(len(grid), 1), grid], dim=1)
