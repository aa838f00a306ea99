"""A torch network as a model: always in eval mode, its weights frozen."""

from collections.abc import Callable
from itertools import repeat
from math import prod
from typing import Self

from torch import Tensor, cat, device, full, nn, split

from dss_ray.models import checkpoint

# Numbers of the states that go through a network together: 512 latents of an image of 256 x 256, 8
# of one of 1024 x 1024. They fill a GPU, and memory does not grow with the image.
AT_ONCE = 2**21


class NetworkModel(nn.Module):
    """The model of a network that is called as (x, t, label) and returns the velocity.

    One that returns the data or the noise becomes a velocity model by ``ConvertedModel``. The
    network runs in the dtype of its weights; the prediction comes back in that of x, so that a
    solver may keep float64 states. A missing label is the null label. Being an ``nn.Module``, it
    moves with ``to``.

    Args:
        network: called with x (B, *sample_shape), t (B,) and, if conditional, label (B,) int64.
        name: what reports call it.
        sample_shape: shape of one state.
        num_classes: number of labels, or None when the network takes no label.
        settings: what else than the weights decides the output; part of the fingerprint.
        features: name of the extractor that judges its samples, if the package has one.
        decode: states -> images in [0, 1], if they have such.
        t_range: smallest and largest query time.
        guided_channels: guidance moves only so many of the first channels; None moves all.
    """

    decode: Callable[[Tensor], Tensor]  # absent where there are no images

    def __init__(
        self,
        network: nn.Module,
        name: str,
        sample_shape: tuple[int, ...],
        num_classes: int | None,
        *,
        settings: object = None,
        features: str | None = None,
        decode: Callable[[Tensor], Tensor] | None = None,
        t_range: tuple[float, float] = (0.0, 1.0),
        guided_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.name, self.sample_shape, self.num_classes = name, sample_shape, num_classes
        self.t_min, self.t_max = t_range
        self.features, self.guided_channels = features, guided_channels
        self.fingerprint = checkpoint.fingerprint(network.state_dict(), settings)
        if decode is not None:
            self.decode = decode  # an nn.Module becomes a part of this one and moves along
        self.eval()

    @property
    def device(self) -> device:
        """Where the weights lie."""
        return next(self.network.parameters()).device

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: a network in train mode drops labels at random."""
        del mode
        return super().train(False)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """What the network predicts (B, *sample_shape); t scalar or (B,), label (B,) or None."""
        times, rows = t.to(x.device).expand(len(x)), max(1, AT_ONCE // prod(self.sample_shape))
        if label is None and self.num_classes is not None:
            label = full((len(x),), self.num_classes, device=x.device)
        if len(x) <= rows:
            return self.predict(x, times, label)
        labels = repeat(None) if label is None else split(label, rows)
        parts = zip(split(x, rows), split(times, rows), labels, strict=False)
        return cat([self.predict(*part) for part in parts])

    def predict(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """One call of the network, with t (B,) and the label it takes, if any."""
        weight = next(self.network.parameters())
        labels = () if label is None or self.num_classes is None else (label,)
        predicted: Tensor = self.network(x.to(weight.dtype), t.to(weight), *labels)
        return predicted.to(x.dtype)
