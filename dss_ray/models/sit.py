"""The DiT / SiT transformer at any size, with the official names of its weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from dss_ray.errors import ModelError
from dss_ray.models.adaln import (
    Block,
    FinalLayer,
    LabelEmbedder,
    PatchEmbedder,
    TimeEmbedder,
    plain_norm,
    unpatchify,
    waves,
)


@dataclass(frozen=True)
class SiTSettings:
    """Size of the network; the defaults are SiT-XL/2 on 32 x 32 x 4 latents (arXiv 2401.08740).

    Args:
        input_size: height and width of a state.
        patch_size: height and width of the patches that become tokens.
        in_channels: channels of a state.
        hidden_size: width of a token, a multiple of 4 and of ``num_heads``.
        depth: number of blocks.
        num_heads: attention heads.
        mlp_ratio: width of the hidden layer of an MLP over ``hidden_size``.
        num_classes: number of labels; one more row is the null label's.
        learn_sigma: True doubles the output channels, of which only the first half is returned.

    Raises:
        ModelError: if a size is no multiple of what divides it.
    """

    input_size: int = 32
    patch_size: int = 2
    in_channels: int = 4
    hidden_size: int = 1152
    depth: int = 28
    num_heads: int = 16
    mlp_ratio: float = 4.0
    num_classes: int = 1000
    learn_sigma: bool = True

    def __post_init__(self) -> None:
        if self.input_size % self.patch_size:
            raise ModelError(
                f"SiT: input_size {self.input_size} is no multiple of patch_size {self.patch_size}"
            )
        if self.hidden_size % 4 or self.hidden_size % self.num_heads:
            raise ModelError(
                f"SiT: hidden_size {self.hidden_size} is no multiple of 4 and of "
                f"num_heads {self.num_heads}"
            )


def position_embedding(tokens: int, width: int) -> Tensor:
    """Sine-cosine embedding (1, tokens**2, width) of a square grid: columns first, then rows."""
    position = torch.arange(tokens, dtype=torch.float64)
    angles = waves(position, width // 4)
    axis = torch.cat([angles.sin(), angles.cos()], dim=-1)  # (tokens, width / 2)
    columns, rows = axis.repeat(tokens, 1), axis.repeat_interleave(tokens, dim=0)
    return torch.cat([columns, rows], dim=-1)[None].float()


class Attention(nn.Module):
    """Multi-head self-attention; under torch.func.jvp select the math kernel of sdpa_kernel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mixed tokens (B, T, D)."""
        batch, tokens, width = x.shape
        split = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # (B, heads, T, D / heads) each
        mixed = scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(x.shape))
        return projected


class Mlp(nn.Module):
    """Two linear layers with the tanh form of GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU(approximate="tanh")
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """The tokens (B, T, D), each mapped alone."""
        mapped: Tensor = self.fc2(self.act(self.fc1(x)))
        return mapped


class SiT(nn.Module):
    """The transformer of DiT (arXiv 2212.09748) and SiT (arXiv 2401.08740).

    Call it with x (B, C, H, W), t (B,) and label (B,) int64, ``num_classes`` being the null label;
    it returns (B, C, H, W). Weights carry the official names, so official checkpoints load.
    """

    def __init__(self, size: SiTSettings) -> None:
        super().__init__()
        self.size = size
        self.x_embedder = PatchEmbedder(size.in_channels, size.hidden_size, size.patch_size)
        self.t_embedder = TimeEmbedder(size.hidden_size)
        self.y_embedder = LabelEmbedder(size.num_classes, size.hidden_size)
        tokens = size.input_size // size.patch_size
        embedding = position_embedding(tokens, size.hidden_size)
        self.pos_embed = nn.Parameter(embedding, requires_grad=False)
        self.blocks = nn.ModuleList(
            Block(
                size.hidden_size,
                plain_norm,
                Attention(size.hidden_size, size.num_heads),
                Mlp(size.hidden_size, int(size.hidden_size * size.mlp_ratio)),
            )
            for _ in range(size.depth)
        )
        channels = size.in_channels * (2 if size.learn_sigma else 1)
        self.final_layer = FinalLayer(size.hidden_size, size.patch_size**2 * channels)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The network's output (B, C, H, W) at x (B, C, H, W), t (B,) and label (B,)."""
        tokens = self.x_embedder(x) + self.pos_embed
        condition = self.t_embedder(t) + self.y_embedder(label)
        for block in self.blocks:
            tokens = block(tokens, condition)
        patches = self.final_layer(tokens, condition)
        return unpatchify(patches, self.size.patch_size, self.size.in_channels)
