"""Classifier-free guidance as a wrapper around a velocity model."""

import math
from collections.abc import Callable
from hashlib import sha256

import torch
from torch import Tensor

from dss_ray.errors import ModelError
from dss_ray.models.protocol import VelocityModel

OPTIONAL = ("noise_scale", "decode", "features")


class GuidedModel:
    """A velocity model whose velocity is guided; made by ``guide``.

    It has the attributes of the model it wraps. Its fingerprint is the model's at scale 1 and
    covers scale and channels else. ``evaluations_per_query`` counts network calls per sample.
    """

    decode: Callable[[Tensor], Tensor]  # these three where the model has them
    noise_scale: Callable[[float], float]
    features: str | None

    def __init__(self, model: VelocityModel, scale: float, channels: int | None) -> None:
        self.model, self.scale, self.channels = model, float(scale), channels
        self.name, self.sample_shape = model.name, model.sample_shape
        self.num_classes = model.num_classes
        self.t_min, self.t_max = model.t_min, model.t_max
        self.evaluations_per_query = 1 if scale == 1 else 2
        self.fingerprint = model.fingerprint
        if scale != 1:
            guided = f"{model.fingerprint} {self.scale!r} {channels}"
            self.fingerprint = sha256(guided.encode()).hexdigest()
        for name in OPTIONAL:
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))

    @property
    def device(self) -> torch.device:
        """Where the model lies; the CPU where it does not say."""
        return torch.device(getattr(self.model, "device", "cpu"))

    def __call__(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """The guided velocity (B, *sample_shape), in one call of the model."""
        if self.scale == 1:
            return self.model(x, t, label)
        if label is None:
            raise ModelError(f"{self.name}: guidance {self.scale:g} needs labels, got none")
        assert self.num_classes is not None
        null = torch.full_like(label, self.num_classes)
        times = torch.cat([t, t]) if t.ndim else t
        both = self.model(torch.cat([x, x]), times, torch.cat([label, null]))
        conditional, unconditional = both.chunk(2)
        guided = unconditional + self.scale * (conditional - unconditional)
        if self.channels is None:
            return guided
        return torch.cat([guided[:, : self.channels], conditional[:, self.channels :]], dim=1)


def guide(model: VelocityModel, scale: float, channels: int | None = None) -> GuidedModel:
    """Guide a model: v_null + scale * (v_label - v_null) (arXiv 2207.12598, eq. 6, of velocities).

    Args:
        model: the model; unconditional ones only with scale 1.
        scale: 1 is the plain conditional velocity and costs one evaluation, any other two.
        channels: guide only the first ``channels`` ones, as the official DiT and SiT do with 3 of
            4; the others keep the conditional velocity. None guides all.

    Raises:
        ModelError: if the scale is not finite, the model has no labels or not so many channels.
    """
    if not math.isfinite(scale):
        raise ModelError(f"{model.name}: guidance must be a finite number, got {scale}")
    if scale != 1 and model.num_classes is None:
        raise ModelError(
            f"{model.name}: an unconditional model takes guidance 1 only, got {scale:g}"
        )
    if channels is not None and not 1 <= channels <= model.sample_shape[0]:
        raise ModelError(
            f"{model.name}: guided channels must be 1 to {model.sample_shape[0]}, got {channels}"
        )
    return GuidedModel(model, scale, channels)
