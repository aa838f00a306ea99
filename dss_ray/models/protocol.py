"""What the package asks of a model: a velocity with a name, a shape and a time range."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class VelocityModel(Protocol):
    """A diffusion or flow model in the package's frame: t = 0 is noise, t = 1 data.

    Attributes:
        name: what reports call it.
        sample_shape: shape of one state, without the batch.
        num_classes: number of labels, the null label being ``num_classes``; None if unconditional.
        t_min: smallest time at which the model may be queried.
        t_max: largest time at which the model may be queried.
        fingerprint: hex digest that changes when the weights do.

    Optional: ``device`` (the CPU where absent); ``noise_scale(t) -> float`` (1 where absent), which
    scales the standard normal noise at the first knot; ``decode(z) -> images in [0, 1]``;
    ``features``, the name of an extractor that judges the images; ``guided_channels``, the number
    of first channels that guidance moves (all where absent or None).
    """

    name: str
    sample_shape: tuple[int, ...]
    num_classes: int | None
    t_min: float
    t_max: float
    fingerprint: str

    def __call__(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """dx/dt (B, *sample_shape) at x of the same shape, t scalar or (B,), label (B,) or None."""
        ...
