"""Classifier-free guidance as a wrapper around a velocity model."""

import math
from collections.abc import Callable, Sequence
from hashlib import sha256

import torch
from torch import Tensor

from dss_ray.errors import ModelError, UsageError
from dss_ray.models.protocol import VelocityModel

OPTIONAL = ("noise_scale", "decode", "features")


class GuidedModel:
    """A velocity model whose velocity is guided; made by ``guide``.

    It has the attributes of the model it wraps. Its fingerprint is the model's at scale 1 and
    covers scale and channels else. ``evaluations_per_query`` counts network calls per sample:
    two also where a search moves the scale, a tensor, through 1.
    """

    decode: Callable[[Tensor], Tensor]  # these three where the model has them
    noise_scale: Callable[[float], float]
    features: str | None

    def __init__(self, model: VelocityModel, scale: float | Tensor, channels: int | None) -> None:
        self.model, self.factor, self.channels = model, scale, channels
        searched = isinstance(scale, Tensor) and scale.requires_grad
        self.scale = float(scale.detach() if isinstance(scale, Tensor) else scale)
        self.name, self.sample_shape = model.name, model.sample_shape
        self.num_classes = model.num_classes
        self.t_min, self.t_max = model.t_min, model.t_max
        self.evaluations_per_query = 1 if self.scale == 1 and not searched else 2
        self.fingerprint = model.fingerprint
        if self.scale != 1:
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
        if self.evaluations_per_query == 1:
            return self.model(x, t, label)
        if label is None:
            raise ModelError(f"{self.name}: guidance {self.scale:g} needs labels, got none")
        assert self.num_classes is not None
        null = torch.full_like(label, self.num_classes)
        times = torch.cat([t, t]) if t.ndim else t
        both = self.model(torch.cat([x, x]), times, torch.cat([label, null]))
        conditional, unconditional = both.chunk(2)
        factor = self.factor.to(x) if isinstance(self.factor, Tensor) else self.factor
        guided = unconditional + factor * (conditional - unconditional)
        if self.channels is None:
            return guided
        return torch.cat([guided[:, : self.channels], conditional[:, self.channels :]], dim=1)


def guide(model: VelocityModel, scale: float | Tensor, channels: int | None = None) -> GuidedModel:
    """Guide a model: v_null + scale * (v_label - v_null) (arXiv 2207.12598, eq. 6, of velocities).

    Args:
        model: the model; unconditional ones only with scale 1.
        scale: 1 is the plain conditional velocity and costs one evaluation, any other two; a
            scalar tensor may carry a gradient.
        channels: guide only the first ``channels`` ones, as the official DiT and SiT do with 3 of
            4; the others keep the conditional velocity. None takes the model's own
            ``guided_channels``, and where it has none, guides all.

    Raises:
        ModelError: if the scale is not finite, the model has no labels or not so many channels.
    """
    if channels is None:
        channels = getattr(model, "guided_channels", None)
    guided = GuidedModel(model, scale, channels)
    if not math.isfinite(guided.scale):
        raise ModelError(f"{model.name}: guidance must be a finite number, got {guided.scale}")
    if guided.evaluations_per_query > 1 and model.num_classes is None:
        raise ModelError(
            f"{model.name}: an unconditional model takes guidance 1 only, got {guided.scale:g}"
        )
    if channels is not None and not 1 <= channels <= model.sample_shape[0]:
        raise ModelError(
            f"{model.name}: guided channels must be 1 to {model.sample_shape[0]}, got {channels}"
        )
    return guided


def guide_steps(
    model: VelocityModel, scale: float | Sequence[float | Tensor], nfe: int
) -> tuple[GuidedModel, ...]:
    """``model`` guided for each of ``nfe`` queries: one scale for all, or one for each.

    Raises:
        UsageError: if there are more or fewer scales than queries.
        ModelError: as ``guide`` does.
    """
    scales = scale if isinstance(scale, Sequence) else [scale] * nfe
    if len(scales) != nfe:
        raise UsageError(
            f"{model.name}: expected one guidance scale or {nfe}, one per query, got {len(scales)}"
        )
    return tuple(guide(model, one) for one in scales)


def one_flow(guided: Sequence[GuidedModel]) -> GuidedModel:
    """The one model that all queries see, whose flow a converged reference can follow.

    Raises:
        UsageError: if the scales differ, since then the limit of many steps is not defined.
    """
    if len({model.fingerprint for model in guided}) > 1:
        scales = ", ".join(f"{model.scale:g}" for model in guided)
        raise UsageError(
            f"{guided[0].name}: guidance that differs between steps ({scales}) has no converged "
            "reference, so no rmse and no teacher's images: ask for other metrics, such as fid"
        )
    return guided[0]
