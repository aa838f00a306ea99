"""FlowDCN (arXiv 2410.22655) at any size, with the official names of its weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, silu

from dss_ray.errors import ModelError
from dss_ray.models.adaln import (
    Block,
    FinalLayer,
    LabelEmbedder,
    PatchEmbedder,
    TimeEmbedder,
    unpatchify,
)

KERNEL = 3  # points of a deformable kernel along each axis
POINTS = KERNEL**2
MAX_REACH = 6.0  # pixels from the centre to the outermost points, before they are displaced
FIRST_REACHES = 1e-4  # the last group's share of it starts this much below one


@dataclass(frozen=True)
class FlowDCNSettings:
    """Size of the network; the defaults are FlowDCN-XL/2 on 32 x 32 x 4 latents.

    Args:
        input_size: height and width of a state.
        patch_size: height and width of the patches that become tokens.
        in_channels: channels of a state.
        hidden_size: width of a token, a multiple of ``groups``.
        depth: number of blocks.
        groups: of channels, each with its own deformed kernel.
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
    groups: int = 16
    num_classes: int = 1000
    learn_sigma: bool = True

    def __post_init__(self) -> None:
        for size, divisor in (("input_size", "patch_size"), ("hidden_size", "groups")):
            whole, part = getattr(self, size), getattr(self, divisor)
            if whole % part:
                raise ModelError(f"FlowDCN: {size} {whole} is no multiple of {divisor} {part}")


def exact(x: Tensor) -> Tensor:
    """``x`` in float32 at least: places in pixels and means of squares need its digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def shares(position: Tensor, size: int) -> Tensor:
    """How linear interpolation at ``position`` shares its weight among 0 .. size - 1.

    As in the released kernels the lower neighbour is found by truncation toward zero, so that
    between -1 and 0 the shares of 0 and 1 extrapolate, and neighbours outside count nothing.

    Args:
        position: any shape (*,), in pixels.
        size: number of pixels.

    Returns:
        (*, size), two numbers that add up to one where both neighbours are inside.
    """
    lower = position.detach().trunc()
    beyond = (position - lower)[..., None]
    distance = torch.arange(size, device=position.device) - lower[..., None]
    return (distance == 0) * (1 - beyond) + (distance == 1) * beyond


def deformable_sum(value: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
    """Sum, for each pixel and group, the bilinear samples of ``value`` at displaced points.

    Bilinear shares are products of those along the axes, so all points of a pixel make one row of
    a matrix over the image, as in attention: no gather, no scatter, and derivatives of any kind.

    Args:
        value: (B, H, W, G, C).
        offset: (B, H, W, G, K, 2), x then y, in pixels from the pixel itself.
        weight: (B, H, W, G, K), of the points.

    Returns:
        (B, H, W, G, C).
    """
    batch, height, width, groups, _ = value.shape
    rows = torch.arange(height, device=value.device).view(-1, 1, 1, 1)
    columns = torch.arange(width, device=value.device).view(-1, 1, 1)
    across = shares(offset[..., 0] + columns, width)  # (B, H, W, G, K, W)
    down = shares(offset[..., 1] + rows, height) * weight[..., None]  # (B, H, W, G, K, H)
    mixing = torch.einsum("bhwgky,bhwgkx->bghwyx", down, across)
    pixels = height * width
    mixing = mixing.reshape(batch, groups, pixels, pixels)
    values = value.permute(0, 3, 1, 2, 4).reshape(batch, groups, pixels, -1)
    return (
        (mixing.to(values) @ values).view(batch, groups, height, width, -1).permute(0, 2, 3, 1, 4)
    )


class RMSNorm(nn.Module):
    """Divide tokens by their root mean square and weigh each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, T, D); the mean is taken in float32 at least."""
        return self.weight * rms_norm(exact(x), x.shape[-1:], eps=1e-6).to(x.dtype)


class DeformableConvolution(nn.Module):
    """A convolution whose kernels, one for each pixel and group, depend on the pixel's token."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.v = nn.Linear(width, width)
        self.qk_deformables = nn.Linear(width, 2 * groups * POINTS)
        self.qk_scales = nn.Linear(width, groups * POINTS, bias=False)
        self.qk_weights = nn.Linear(width, groups * POINTS)
        self.out = nn.Linear(width, width)
        axis = torch.linspace(-1, 1, KERNEL)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
        self.deformables_prior = nn.Parameter(grid.view(1, 1, 1, 1, POINTS, 2), requires_grad=False)
        reach = torch.arange(1, groups + 1) / groups - FIRST_REACHES
        self.deformables_scale = nn.Parameter(reach.logit().view(1, 1, 1, groups, 1, 1))
        for layer in (self.qk_deformables, self.qk_scales, self.qk_weights):
            nn.init.zeros_(layer.weight)
        for layer in (self.v, self.qk_deformables, self.out):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Mixed tokens (B, T, D) of a square image."""
        side = round(x.shape[1] ** 0.5)
        place = (len(x), side, side, self.groups)
        scale = exact(self.qk_scales(x)).view(*place, POINTS, 1) + self.deformables_scale
        offset = exact(self.qk_deformables(x)).view(*place, POINTS, 2) + self.deformables_prior
        offset = offset * (MAX_REACH * scale.sigmoid())
        weight = self.qk_weights(x).view(*place, POINTS)
        mixed = deformable_sum(self.v(x).view(*place, -1), offset, weight)
        projected: Tensor = self.out(mixed.reshape(x.shape))
        return projected


class GatedMlp(nn.Module):
    """SwiGLU (arXiv 2002.05202, section 2) with two thirds of the usual width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 4 * width * 2 // 3
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)
        self.w3 = nn.Linear(width, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The tokens (B, T, D), each mapped alone."""
        mapped: Tensor = self.w2(silu(self.w1(x)) * self.w3(x))
        return mapped


class FlowDCN(nn.Module):
    """Deformable convolutions in place of attention, and no position embedding.

    Call it with x (B, C, H, W), t (B,) and label (B,) int64, ``num_classes`` being the null label;
    it returns (B, C, H, W). Weights carry the official names, so official checkpoints load.
    """

    def __init__(self, size: FlowDCNSettings) -> None:
        super().__init__()
        self.size = size
        width, patch = size.hidden_size, size.patch_size
        self.x_embedder = PatchEmbedder(size.in_channels, width, patch)
        self.t_embedder = TimeEmbedder(width)
        self.y_embedder = LabelEmbedder(size.num_classes, width)
        self.blocks = nn.ModuleList(
            Block(width, RMSNorm, DeformableConvolution(width, size.groups), GatedMlp(width))
            for _ in range(size.depth)
        )
        channels = size.in_channels * (2 if size.learn_sigma else 1)
        self.final_layer = FinalLayer(width, patch**2 * channels)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The network's output (B, C, H, W) at x (B, C, H, W), t (B,) and label (B,)."""
        tokens = self.x_embedder(x)
        condition = self.t_embedder(t) + self.y_embedder(label)
        for block in self.blocks:
            tokens = block(tokens, condition)
        patches = self.final_layer(tokens, condition)
        return unpatchify(patches, self.size.patch_size, self.size.in_channels)
