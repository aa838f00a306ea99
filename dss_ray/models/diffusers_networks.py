"""Transformers of diffusers, called as (x, t, label) like any other network of the package.

A label is a class of DiT; elsewhere it is a row of the prompts' embeddings, which are buffers. The
flow transformers return minus the velocity, since their time runs from data to noise: they are
asked at sigma = 1 - t, most of them in thousandths.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dss_ray.errors import ModelError
from dss_ray.models.network import NetworkModel
from dss_ray.models.prompts import EMBEDS, MASK, POOLED

PIXELS = 8  # of an image, per pixel of the latents of PixArt's autoencoder


class DiffusersModel(NetworkModel):
    """A ``NetworkModel`` whose network gets the time as it comes, not rounded to its weights' type.

    Rounded to bfloat16, a time near 1 would be up to two of the network's thousand steps off. (Flux
    rounds it so itself, in its own pipeline as well.)
    """

    def predict(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """One call of the network, with t (B,) as it comes."""
        weight = next(self.network.parameters())
        predicted: Tensor = self.network(x.to(weight.dtype), t, label)
        return predicted.to(x.dtype)


class DiTNetwork(nn.Module):
    """The noise of a DiTTransformer2DModel at times that are indices of its diffusion.

    Args:
        transformer: the DiTTransformer2DModel.
        official_times: embed the time with the frequencies of the official network; diffusers'
            embedding divides the exponents by 127 where the official one, for which converted
            weights were trained, divides by 128.
    """

    def __init__(self, transformer: Any, official_times: bool) -> None:
        super().__init__()
        self.transformer, self.channels = transformer, transformer.config.in_channels
        self.settings = official_times
        if official_times:
            for block in transformer.transformer_blocks:
                block.norm1.emb.time_proj.downscale_freq_shift = 0

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The noise (B, C, H, W) at x (B, C, H, W), t (B,) and label (B,), no learned variance."""
        found: Tensor = self.transformer(x, timestep=t, class_labels=label, return_dict=False)[0]
        return found[:, : self.channels]


class PromptNetwork(nn.Module):
    """A transformer with the prompts that labels index.

    Args:
        transformer: a transformer of the diffusers class ``kind``.
        prompts: the tensors of ``read_prompts``; they take the type of the transformer's weights.

    Attributes:
        kind: the transformer's class.
        vae: the class of the autoencoder beside it.
        noise: whether it predicts the noise of a discrete diffusion, not the velocity of a flow.
        settings: what else than weights and prompts decides its output.
    """

    kind: ClassVar[str]
    vae: ClassVar[str] = "AutoencoderKL"
    noise: ClassVar[bool] = False
    settings: object = None

    @staticmethod
    def widths(config: Any) -> dict[str, int]:
        """What ``read_prompts`` must find for a transformer of that config."""
        return {EMBEDS: config.caption_channels, MASK: 0}

    @staticmethod
    def latents(config: Any) -> tuple[int, int, int]:
        """Channels and usual side of the latents, and what height and width are multiples of."""
        return config.in_channels, config.sample_size, config.patch_size

    def __init__(self, transformer: Any, prompts: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.transformer, self.channels = transformer, transformer.config.in_channels
        weight = next(transformer.parameters())
        for name, tensor in prompts.items():
            self.register_buffer(name, tensor.to(weight))

    def rows(self, name: str, label: Tensor) -> Tensor:
        """The rows of a prompts' tensor, (B, ...), for label (B,)."""
        table: Tensor = self.get_buffer(name)
        return table[label]

    def predicted(self, x: Tensor, t: Tensor, **conditions: Any) -> Tensor:
        """What the transformer returns for x and its own time t (B,)."""
        found = self.transformer(hidden_states=x, timestep=t, return_dict=False, **conditions)
        output: Tensor = found[0]
        return output


class SD3Network(PromptNetwork):
    """The velocity of an SD3Transformer2DModel."""

    kind = "SD3Transformer2DModel"

    @staticmethod
    def widths(config: Any) -> dict[str, int]:
        """Embeddings and pooled embeddings."""
        return {EMBEDS: config.joint_attention_dim, POOLED: config.pooled_projection_dim}

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The velocity (B, C, H, W) at x (B, C, H, W), t (B,) and label (B,)."""
        embeds, pooled = self.rows(EMBEDS, label), self.rows(POOLED, label)
        conditions = {"encoder_hidden_states": embeds, "pooled_projections": pooled}
        return -self.predicted(x, 1000 * (1 - t), **conditions)


class SanaNetwork(PromptNetwork):
    """The velocity of a SanaTransformer2DModel.

    Raises:
        ModelError: if it embeds its guidance, since then its time is not that of a flow.
    """

    kind = "SanaTransformer2DModel"
    vae = "AutoencoderDC"

    def __init__(self, transformer: Any, prompts: Mapping[str, Tensor]) -> None:
        super().__init__(transformer, prompts)
        if transformer.config.guidance_embeds:
            raise ModelError(
                f"{transformer.config._name_or_path}: expected the transformer of a Sana flow, "
                "found one of Sana Sprint (guidance_embeds), which makes its own few steps; "
                "name the folder of a Sana pipeline"
            )

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The velocity (B, C, H, W) at x (B, C, H, W), t (B,) and label (B,)."""
        embeds, mask = self.rows(EMBEDS, label), self.rows(MASK, label)
        conditions = {"encoder_hidden_states": embeds, "encoder_attention_mask": mask}
        time = 1000 * (1 - t) * self.transformer.config.timestep_scale
        return -self.predicted(x, time, **conditions)[:, : self.channels]


class PixArtNetwork(PromptNetwork):
    """The noise of a PixArtTransformer2DModel at times that are indices of its diffusion."""

    kind = "PixArtTransformer2DModel"
    noise = True

    @staticmethod
    def widths(config: Any) -> dict[str, int]:
        """Embeddings, projected where the transformer has a projection, and their mask."""
        return {EMBEDS: config.caption_channels or config.cross_attention_dim, MASK: 0}

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The noise (B, C, H, W) at x (B, C, H, W), t (B,) and label (B,), no learned variance."""
        embeds, mask = self.rows(EMBEDS, label), self.rows(MASK, label)
        size: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
        if self.transformer.use_additional_conditions:
            height, width = x.shape[-2:]
            pixels = torch.tensor([PIXELS * height, PIXELS * width]).to(x).expand(len(x), 2)
            size = {"resolution": pixels, "aspect_ratio": x.new_full((len(x), 1), height / width)}
        conditions = {"encoder_hidden_states": embeds, "encoder_attention_mask": mask}
        noise = self.predicted(x, t, added_cond_kwargs=size, **conditions)
        return noise[:, : self.channels]


PROMPTED: dict[str, type[PromptNetwork]] = {
    "sd3": SD3Network,
    "pixart": PixArtNetwork,
    "sana": SanaNetwork,
}
