"""Models of any Gaussian path as velocity models of the package's frame.

A model that was trained on x = a data + s noise with a time of its own is asked at the state
z = x / (a + s) and the time t = a / (a + s); there the path is t data + (1 - t) noise.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Path:
    """A path x = a data + s noise, described along the frame's time t = a / (a + s).

    Args:
        name: tells it from other paths; part of a model's fingerprint.
        scales: t -> (a, s).
        own_time: t -> what the model takes as its time.
        t_min: smallest time at which the model may be queried.
        t_max: largest such time.
        unit_start: True where sampling starts at standard normal x (VP), False where at s times
            standard normal x (EDM).
    """

    name: str
    scales: Callable[[Tensor], tuple[Tensor, Tensor]]
    own_time: Callable[[Tensor], Tensor]
    t_min: float
    t_max: float
    unit_start: bool


class Predictor(Protocol):
    """What ``ConvertedModel`` converts, such as a ``NetworkModel``.

    Its attributes are those of a ``VelocityModel`` without the time range; ``device``, ``decode``
    (of data) and ``features`` are optional.
    """

    name: str
    sample_shape: tuple[int, ...]
    num_classes: int | None
    fingerprint: str

    def __call__(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """The data or the noise (B, *sample_shape) at its own state x and own time t (B,)."""
        ...


class ConvertedModel(nn.Module):
    """The velocity D - e of a model that predicts the data D or the noise e on ``path``.

    Args:
        model: what predicts; it moves along with ``to`` if it is an ``nn.Module``.
        prediction: whether it returns the data or the noise.
        path: its path.
    """

    decode: Callable[[Tensor], Tensor]  # absent where the model makes no images

    def __init__(self, model: Predictor, prediction: Literal["data", "noise"], path: Path) -> None:
        super().__init__()
        self.model, self.prediction, self.path = model, prediction, path
        self.name, self.sample_shape = model.name, model.sample_shape
        self.num_classes = model.num_classes
        self.t_min, self.t_max = path.t_min, path.t_max
        self.features: str | None = getattr(model, "features", None)
        self.guided_channels: int | None = getattr(model, "guided_channels", None)
        own = f"{model.fingerprint} {prediction} {path.name}"
        self.fingerprint = sha256(own.encode()).hexdigest()
        if hasattr(model, "decode"):
            self.decode = self.decode_end
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the model lies; the CPU where it does not say."""
        return torch.device(getattr(self.model, "device", "cpu"))

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """dx/dt (B, *sample_shape) in the frame; t scalar or (B,), label (B,) or None."""
        time = t.double().expand(len(x))
        column = (len(x),) + (1,) * (x.ndim - 1)
        a, s = (scale.view(column).to(x) for scale in self.path.scales(time))
        own = (a + s) * x
        predicted = self.model(own, self.path.own_time(time).to(x), label)
        if self.prediction == "data":
            return predicted - (own - a * predicted) / s
        return (own - s * predicted) / a - predicted

    def noise_scale(self, t: float) -> float:
        """What standard normal noise is multiplied with to be a start state z at time t."""
        a, s = self.path.scales(torch.tensor(t, dtype=torch.float64))
        return float((1 if self.path.unit_start else s) / (a + s))

    def data_scale(self, t: float) -> float:
        """What an end state z at time t is multiplied with to be data: a + s."""
        a, s = self.path.scales(torch.tensor(t, dtype=torch.float64))
        return float(a + s)

    def decode_end(self, z: Tensor) -> Tensor:
        """The images in [0, 1] that end states z at ``t_max`` stand for."""
        images: Tensor = cast(Any, self.model).decode(self.data_scale(self.t_max) * z)
        return images


def edm_path(sigma_max: float = 80.0, sigma_min: float = 0.002) -> Path:
    """The path x = data + sigma noise, whose own time is sigma (EDM, arXiv 2206.00364)."""

    def sigma(t: Tensor) -> Tensor:
        return (1 - t) / t

    return Path(
        name=f"edm {sigma_max!r} {sigma_min!r}",
        scales=lambda t: (torch.ones_like(t), sigma(t)),
        own_time=sigma,
        t_min=1 / (1 + sigma_max),
        t_max=1 / (1 + sigma_min),
        unit_start=False,
    )


def circle(t: Tensor) -> tuple[Tensor, Tensor]:
    """The scales (a, s) of a variance-preserving path, a^2 + s^2 = 1, at frame times t."""
    radius = torch.hypot(t, 1 - t)
    return t / radius, (1 - t) / radius


def vp_path(
    beta_min: float = 0.1, beta_max: float = 20.0, first: float = 0.999, last: float = 0.001
) -> Path:
    """The variance-preserving path with linear beta, own time ``first`` (noise) to ``last`` (data).

    log a = -(beta_max - beta_min) u^2 / 4 - beta_min u / 2 (score SDE, arXiv 2011.13456, eq. 33),
    solved for the own time u without cancellation.
    """
    slope = beta_max - beta_min

    def own_time(t: Tensor) -> Tensor:
        log_a = circle(t)[0].log()
        return -2 * log_a / (beta_min / 2 + (beta_min**2 / 4 - slope * log_a).sqrt())

    def frame_time(u: float) -> float:
        a = torch.tensor(-slope * u**2 / 4 - beta_min * u / 2, dtype=torch.float64).exp()
        return float(a / (a + (1 - a**2).sqrt()))

    name = f"vp {beta_min!r} {beta_max!r} {first!r} {last!r}"
    return Path(name, circle, own_time, frame_time(first), frame_time(last), unit_start=True)


def ddpm_path(alphas_cumprod: Tensor, unit: float = 1.0) -> Path:
    """The path of a discrete model, asked at the fractional index of the same log(a / s).

    Args:
        alphas_cumprod: (K,), the squares of a at the indices 0 (data) to K - 1 (noise).
        unit: what the model takes as its time is ``unit`` times the index.
    """
    squares = alphas_cumprod.double()
    rising = ((squares / (1 - squares)).log() / 2).flip(0)  # log(a / s), noise first

    def own_time(t: Tensor) -> Tensor:
        wanted = (t / (1 - t)).log()
        levels = rising.to(t.device)
        above = torch.searchsorted(levels, wanted.detach()).clamp(1, len(levels) - 1)
        low, high = levels[above - 1], levels[above]
        return unit * (len(levels) - above - (wanted - low) / (high - low))

    ends = rising[[0, -1]].sigmoid()
    name = f"ddpm {unit!r} {sha256(squares.float().numpy().tobytes()).hexdigest()}"
    return Path(name, circle, own_time, float(ends[0]), float(ends[1]), unit_start=True)


def linear_alphas_cumprod(count: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """The squares of a (count,) of DDPM's linear betas (arXiv 2006.11239, section 4)."""
    betas = torch.linspace(first, last, count, dtype=torch.float64)
    return (1 - betas).cumprod(0)


def paper_ddpm_path() -> Path:
    """The paper's convention for discrete models: index 1000 u at the continuous own time u.

    It lies 0.6 to 4 indices beside ``ddpm_path`` of the same betas (arXiv 2505.21114's code).
    """
    path = vp_path()
    return replace(path, name=f"paper {path.name}", own_time=lambda t: 1000 * path.own_time(t))
