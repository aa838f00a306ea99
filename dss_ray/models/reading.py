"""What an extractor sees in images: features, and for some metrics a map of places and logits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from dss_ray.errors import UsageError

CHANNELS = 7  # of a convolution that sFID compares place by place, as in ADM (arXiv 2105.05233)


@dataclass(frozen=True, eq=False)
class Reading:
    """What one pass of an extractor gives for B images.

    Args:
        features: (B, dim).
        spatial: (B, spatial_dim), the first channels of an intermediate convolution at all its
            places; None where the extractor has no convolution.
        logits: (B, classes); None where it does not classify.
    """

    features: Tensor
    spatial: Tensor | None = None
    logits: Tensor | None = None

    def cpu(self) -> "Reading":
        """The same on the CPU."""
        spatial, logits = (one if one is None else one.cpu() for one in (self.spatial, self.logits))
        return Reading(self.features.cpu(), spatial, logits)

    def require_spatial(self) -> Tensor:
        """The spatial features (B, spatial_dim).

        Raises:
            UsageError: if there are none.
        """
        if self.spatial is None:
            raise UsageError(
                "sFID: the extractor gives no spatial features, the first 7 channels of a "
                "convolution; take one with convolutions, such as digits-cnn"
            )
        return self.spatial

    def require_logits(self) -> Tensor:
        """The logits (B, classes).

        Raises:
            UsageError: if there are none.
        """
        if self.logits is None:
            raise UsageError(
                "inception_score: the extractor gives no logits; take one that classifies, such "
                "as digits-cnn"
            )
        return self.logits


class Reader(nn.Module):
    """A network that reads images.

    Attributes:
        dim: number of features.
        spatial_dim: number of spatial features; None without them.
        classes: number of logits; None without them.
    """

    dim: int
    spatial_dim: int | None = None
    classes: int | None = None

    def read(self, images: Tensor) -> Reading:
        """All that it sees in images (B, C, H, W) in [0, 1], in one pass."""
        raise NotImplementedError

    def features(self, images: Tensor) -> Tensor:
        """The features (B, dim) alone."""
        return self.read(images).features


def read(extractor: Callable[[Tensor], Tensor], images: Tensor) -> Reading:
    """What ``extractor`` sees in images (B, C, H, W) in [0, 1].

    One without a method ``read`` is called, and gives features alone.
    """
    images = within_reach(extractor, images)
    if hasattr(extractor, "read"):
        found: Reading = extractor.read(images)
        return found
    return Reading(extractor(images))


def within_reach(extractor: Any, images: Tensor) -> Tensor:
    """Move the extractor to the images' device and return them; one that cannot move gets copies.

    Those lie on the CPU.
    """
    if not hasattr(extractor, "to"):
        return images.cpu()
    extractor.to(images.device)
    return images


def places(maps: Tensor) -> Tensor:
    """The first channels of maps (B, C, H, W) as (B, H * W * channels), flattened H, W, C."""
    return maps[:, :CHANNELS].permute(0, 2, 3, 1).flatten(1)
