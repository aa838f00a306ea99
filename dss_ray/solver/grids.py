"""Time grids by name: N + 1 knots between noise and data, all in the package's frame."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.errors import UsageError, unknown
from dss_ray.solver.vp import VP_END, VP_START, frame_time, vp_time

EDM_RANGE = (80.0, 0.002)  # sigma, Karras et al. 2206.00364, table 1
MOST_STEPS = 1000  # a table has N * N weights, and no fast solver this many
Warp = Callable[..., Tensor]


@dataclass(frozen=True)
class GridFamily:
    """A family of grids: ``curve(u, first, last, *parameters)`` on u (N + 1,) uniform in [0, 1].

    Ends that the curve cannot reach (infinite log-SNR) are replaced by first and last themselves.
    """

    curve: Warp
    defaults: tuple[float, ...] = ()


def between(curve: Warp) -> Warp:
    """A curve of [0, 1] onto itself, stretched to run from first to last."""

    def stretched(u: Tensor, first: float, last: float, *parameters: float) -> Tensor:
        return first + (last - first) * curve(u, *parameters)

    return stretched


def quartic(u: Tensor, a: float, b: float, c: float, d: float) -> Tensor:
    """Quartic a u^4 + b u^3 + c u^2 + d u over its value at 1 (published ones miss 1 by 0.01)."""
    return (((a * u + b) * u + c) * u + d) * u / (a + b + c + d)


def flow_respacing(u: Tensor) -> Tensor:
    """The curve fitted to the searched flow times (Differentiable Solver Search, 2505.21114)."""
    return quartic(u, -1.96, 3.51, -0.97, 0.43)


def vp_respacing(u: Tensor, first: float, last: float) -> Tensor:
    """The curve fitted to the searched VP times (2505.21114), in VP time, then in the frame."""
    start, end = vp_time(finite_ends(first, last))
    return frame_time(start + (end - start) * quartic(u, -2.73, 6.30, -4.744, 2.17))


def finite_ends(first: float, last: float) -> Tensor:
    """Both ends (2,), 0 and 1 replaced by the ends of the VP diffusion, 0.006594 and 0.989623."""
    start, end = frame_time(torch.tensor([VP_START, VP_END], dtype=torch.float64)).tolist()
    return torch.tensor([first or start, last if last < 1 else end], dtype=torch.float64)


def logsnr(u: Tensor, first: float, last: float) -> Tensor:
    """Equal steps of log(t / (1 - t)); ends 0 and 1 count as VP's in between."""
    low, high = finite_ends(first, last).logit()
    return torch.sigmoid(low + (high - low) * u)


def edm(u: Tensor, first: float, last: float, rho: float) -> Tensor:
    """Equal steps of sigma^(1 / rho), t = 1 / (1 + sigma) (Karras et al. 2206.00364, eq. 5).

    A first time 0 counts as sigma 80; a last time 1 is a further step, from sigma 0.002 to 0.
    """
    high = (1 - first) / first if first else EDM_RANGE[0]
    low = (1 - last) / last if last < 1 else EDM_RANGE[1]
    if last == 1:
        count = len(u) - 1
        u = (torch.arange(count + 1).to(u) / max(count - 1, 1)).clamp(max=1)
    root = high ** (1 / rho) + u * (low ** (1 / rho) - high ** (1 / rho))
    return torch.reciprocal(1 + root**rho)


def shift(u: Tensor, first: float, last: float, factor: float) -> Tensor:
    """Equal steps before sigma = 1 - t becomes f sigma / (1 + (f - 1) sigma) (SD3, 2403.03206)."""
    begin, end = (s / (factor - (factor - 1) * s) for s in (1 - first, 1 - last))
    sigma = begin + (end - begin) * u
    return 1 - factor * sigma / (1 + (factor - 1) * sigma)


GRIDS = {
    "uniform": GridFamily(between(lambda u: u)),
    "power": GridFamily(between(lambda u, a, b: 1 - (1 - u**a) ** b), (2.0, 1.0)),
    "cosine": GridFamily(between(lambda u: (1 - torch.cos(math.pi * u)) / 2)),
    "logsnr": GridFamily(logsnr),
    "edm": GridFamily(edm, (7.0,)),
    "shift": GridFamily(shift, (3.0,)),
    "flow-respacing": GridFamily(between(flow_respacing)),
    "vp-respacing": GridFamily(vp_respacing),
}


def make_grid(spec: str, nfe: int, first: float = 0.0, last: float = 1.0) -> Tensor:
    """Knots (nfe + 1,) float64 from ``first`` to ``last``, strictly increasing.

    Args:
        spec: a family of GRIDS, with its parameters if any: "uniform", "power:2:1.5", "edm:7".
        nfe: number of steps, 1 to 1000.
        first: first knot, at least 0.
        last: last knot, at most 1.

    Raises:
        UsageError: if the spec, the number of steps or the range is invalid.
    """
    family, parameters = parse(spec)
    if not 1 <= nfe <= MOST_STEPS:
        raise UsageError(f"grid '{spec}': expected 1 to {MOST_STEPS} steps, got {nfe}")
    if not 0 <= first < last <= 1:
        raise UsageError(f"grid '{spec}': expected 0 <= first < last <= 1, got {first} and {last}")
    u = torch.linspace(0, 1, nfe + 1, dtype=torch.float64)
    try:
        knots = family.curve(u, first, last, *parameters)
    except ArithmeticError as error:
        raise UsageError(f"grid '{spec}': {error}; use milder parameters") from None
    knots[0], knots[-1] = first, last
    if not (knots.diff() > 0).all():
        raise UsageError(
            f"grid '{spec}': {nfe} steps from {first} to {last} do not increase in float64; "
            "use milder parameters or fewer steps"
        )
    return knots


def parse(spec: str) -> tuple[GridFamily, tuple[float, ...]]:
    """The family that ``spec`` names and its parameters, defaults filled in."""
    name, *fields = spec.split(":")
    if name not in GRIDS:
        raise unknown("grid", name, GRIDS)
    family = GRIDS[name]
    if len(fields) > len(family.defaults):
        raise UsageError(
            f"grid '{spec}': {name} takes at most {len(family.defaults)} parameters, "
            f"got {len(fields)}"
        )
    return family, tuple(map(positive, fields)) + family.defaults[len(fields) :]


def positive(field: str) -> float:
    """A grid parameter as a positive finite number."""
    try:
        value = float(field)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"grid parameter '{field}': expected a positive number, like power:2")
    return value
