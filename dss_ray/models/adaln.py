"""What DiT, SiT and FlowDCN share: embedders, adaLN modulation and the final layer."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

FREQUENCIES = 128  # of the time embedding, each with a cosine and a sine
MAX_PERIOD = 10_000.0


def waves(position: Tensor, count: int) -> Tensor:
    """Angles (*position.shape, count) at frequencies that fall geometrically from 1."""
    exponents = torch.arange(count, device=position.device, dtype=torch.float64) / count
    return position[..., None] * (MAX_PERIOD**-exponents).to(position)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Shift and scale tokens (B, T, D) by one vector (B, D) per sample."""
    return torch.addcmul(shift[:, None], x, 1 + scale[:, None])


class PatchEmbedder(nn.Module):
    """Cut (B, C, H, W) into patches and map each to a token (B, T, D)."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)

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
    """A mixing of tokens and an MLP, modulated and gated by the condition (adaLN-Zero).

    That is DiT's block (arXiv 2212.09748, section 3.2), whatever norms and mixes.

    Args:
        width: of a token.
        norm: makes the two norms of that width.
        mixing: maps tokens (B, T, D) to tokens, each seeing others.
        mlp: maps each token alone.
    """

    def __init__(
        self, width: int, norm: Callable[[int], nn.Module], mixing: nn.Module, mlp: nn.Module
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(width), norm(width)
        self.attn = mixing
        self.mlp = mlp
        self.adaLN_modulation = modulation(width, 6)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """The tokens (B, T, D) one block further, under the condition (B, D)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(condition).chunk(6, -1)
        mixed = self.attn(modulate(self.norm1(x), shift1, scale1))
        x = torch.addcmul(x, gate1[:, None], mixed)
        return torch.addcmul(x, gate2[:, None], self.mlp(modulate(self.norm2(x), shift2, scale2)))


class FinalLayer(nn.Module):
    """Modulate the tokens and map each to the numbers of its patch, all zero at the start."""

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        self.norm_final = plain_norm(width)
        self.linear = nn.Linear(width, numbers)
        self.adaLN_modulation = modulation(width, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Numbers (B, T, patch**2 * channels) from tokens (B, T, D) and the condition (B, D)."""
        shift, scale = self.adaLN_modulation(condition).chunk(2, -1)
        patches: Tensor = self.linear(modulate(self.norm_final(x), shift, scale))
        return patches


def unpatchify(tokens: Tensor, patch: int, channels: int) -> Tensor:
    """Tokens (B, side**2, patch**2 * C) as states (B, C, H, W), the first ``channels`` of C."""
    side = round(tokens.shape[1] ** 0.5)  # isqrt would break a compiled graph
    pixels = tokens.view(len(tokens), side, side, patch, patch, -1)
    states = pixels.permute(0, 5, 1, 3, 2, 4).reshape(len(tokens), -1, side * patch, side * patch)
    return states[:, :channels]
