"""The DiT / SiT transformer at any size, with the official names of its weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from dss_ray.errors import ModelError

FREQUENCIES = 128  # of the time embedding, each with a cosine and a sine
MAX_PERIOD = 10_000.0


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


def waves(position: Tensor, count: int) -> Tensor:
    """Angles (*position.shape, count) at frequencies that fall geometrically from 1."""
    exponents = torch.arange(count, device=position.device, dtype=torch.float64) / count
    return position[..., None] * (MAX_PERIOD**-exponents).to(position)


def position_embedding(tokens: int, width: int) -> Tensor:
    """Sine-cosine embedding (1, tokens**2, width) of a square grid: columns first, then rows."""
    position = torch.arange(tokens, dtype=torch.float64)
    angles = waves(position, width // 4)
    axis = torch.cat([angles.sin(), angles.cos()], dim=-1)  # (tokens, width / 2)
    columns, rows = axis.repeat(tokens, 1), axis.repeat_interleave(tokens, dim=0)
    return torch.cat([columns, rows], dim=-1)[None].float()


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Shift and scale tokens (B, T, D) by one vector (B, D) per sample."""
    return torch.addcmul(shift[:, None], x, 1 + scale[:, None])


class PatchEmbedder(nn.Module):
    """Cut (B, C, H, W) into patches and map each to a token (B, T, D)."""

    def __init__(self, size: SiTSettings) -> None:
        super().__init__()
        patch = size.patch_size
        self.proj = nn.Conv2d(size.in_channels, size.hidden_size, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, T, D) of states (B, C, H, W)."""
        patches: Tensor = self.proj(x)
        # Contiguous: else every norm and linear layer after it copies its input again.
        return patches.flatten(2).transpose(1, 2).contiguous()


class TimeEmbedder(nn.Module):
    """Embed t (B,) as (B, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, last = nn.Linear(2 * FREQUENCIES, width), nn.Linear(width, width)
        nn.init.normal_(first.weight, std=0.02)
        nn.init.normal_(last.weight, std=0.02)
        self.mlp = nn.Sequential(first, nn.SiLU(), last)

    def forward(self, t: Tensor) -> Tensor:
        """Embeddings (B, D) of times (B,)."""
        angles = waves(t, FREQUENCIES)
        embedded: Tensor = self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))
        return embedded


class LabelEmbedder(nn.Module):
    """Embed labels (B,), the null label included, as (B, D)."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(num_classes + 1, width)
        nn.init.normal_(self.embedding_table.weight, std=0.02)

    def forward(self, label: Tensor) -> Tensor:
        """Embeddings (B, D) of labels (B,)."""
        embedded: Tensor = self.embedding_table(label)
        return embedded


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


def plain_norm(width: int) -> nn.LayerNorm:
    """A layer norm without weights: adaLN supplies shift and scale."""
    return nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)


def modulation(width: int, count: int) -> nn.Sequential:
    """The adaLN head that yields ``count`` vectors of ``width``, all zero at the start."""
    linear = nn.Linear(width, count * width)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.SiLU(), linear)


class Block(nn.Module):
    """Attention and MLP, modulated and gated by the condition (adaLN-Zero, arXiv 2212.09748)."""

    def __init__(self, size: SiTSettings) -> None:
        super().__init__()
        width = size.hidden_size
        self.norm1, self.norm2 = plain_norm(width), plain_norm(width)
        self.attn = Attention(width, size.num_heads)
        self.mlp = Mlp(width, int(width * size.mlp_ratio))
        self.adaLN_modulation = modulation(width, 6)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """The tokens (B, T, D) one block further, under the condition (B, D)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(condition).chunk(6, -1)
        attended = self.attn(modulate(self.norm1(x), shift1, scale1))
        x = torch.addcmul(x, gate1[:, None], attended)
        return torch.addcmul(x, gate2[:, None], self.mlp(modulate(self.norm2(x), shift2, scale2)))


class FinalLayer(nn.Module):
    """Modulate the tokens and map each to the numbers of its patch, all zero at the start."""

    def __init__(self, size: SiTSettings, out_channels: int) -> None:
        super().__init__()
        self.norm_final = plain_norm(size.hidden_size)
        self.linear = nn.Linear(size.hidden_size, size.patch_size**2 * out_channels)
        self.adaLN_modulation = modulation(size.hidden_size, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens (B, T, patch**2 * out_channels) from tokens (B, T, D) and the condition (B, D)."""
        shift, scale = self.adaLN_modulation(condition).chunk(2, -1)
        patches: Tensor = self.linear(modulate(self.norm_final(x), shift, scale))
        return patches


class SiT(nn.Module):
    """The transformer of DiT (arXiv 2212.09748) and SiT (arXiv 2401.08740).

    Call it with x (B, C, H, W), t (B,) and label (B,) int64, ``num_classes`` being the null label;
    it returns (B, C, H, W). Weights carry the official names, so official checkpoints load.
    """

    def __init__(self, size: SiTSettings) -> None:
        super().__init__()
        self.size = size
        self.x_embedder = PatchEmbedder(size)
        self.t_embedder = TimeEmbedder(size.hidden_size)
        self.y_embedder = LabelEmbedder(size.num_classes, size.hidden_size)
        tokens = size.input_size // size.patch_size
        embedding = position_embedding(tokens, size.hidden_size)
        self.pos_embed = nn.Parameter(embedding, requires_grad=False)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.depth))
        channels = size.in_channels * (2 if size.learn_sigma else 1)
        self.final_layer = FinalLayer(size, channels)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The network's output (B, C, H, W) at x (B, C, H, W), t (B,) and label (B,)."""
        tokens = self.x_embedder(x) + self.pos_embed
        condition = self.t_embedder(t) + self.y_embedder(label)
        for block in self.blocks:
            tokens = block(tokens, condition)
        return self.unpatchify(self.final_layer(tokens, condition))

    def unpatchify(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, patch**2 * channels) as states (B, C, H, W), first half of the channels."""
        patch, side = self.size.patch_size, self.size.input_size // self.size.patch_size
        pixels = tokens.view(len(tokens), side, side, patch, patch, -1)
        states = pixels.permute(0, 5, 1, 3, 2, 4).reshape(
            len(tokens), -1, *[self.size.input_size] * 2
        )
        return states[:, : self.size.in_channels]
