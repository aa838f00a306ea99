"""SUMMARY.

FACTS

A sampler of k-diffusion's calling convention, on torch alone, for denoisers of two kinds:

    edm     x = data + sigma * noise: EDM's, and those of k-diffusion's wrappers
    flow    x = (1 - sigma) * data + sigma * noise: SD3, Flux and ComfyUI's other flow models

    sigmas = SIGMAS()
    x = SCALE * torch.randn(8, *shape)
    data = sample_dss(model, x, sigmas, extra_args)  # model(x, sigma, **extra_args) -> denoised

The sigmas are the solver's own, ``edm_sigmas`` or ``flow_sigmas``, and say which kind the denoiser
is of; others are refused. x is returned at the last of them. Guidance is up to the denoiser: give
it the scale above.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

NAME = "euler-1"
TIMES = (0.0,)
START = (1.0,)
WEIGHTS = ((1.0,),)
KNOTS = (0.0, 1.0)


def edm_sigmas() -> Tensor:
    """The solver's sigmas (N + 1,), float64, for denoisers of x = data + sigma * noise."""
    if KNOTS[0] <= 0:
        raise ValueError(f"{NAME} starts at pure noise, where sigma is infinite: it is for flows")
    return flow_sigmas() / torch.tensor(KNOTS, dtype=torch.float64)


def flow_sigmas() -> Tensor:
    """The solver's sigmas (N + 1,), float64, for x = (1 - sigma) * data + sigma * noise."""
    return 1 - torch.tensor(KNOTS, dtype=torch.float64)


def is_flow(sigmas: Tensor) -> bool:
    """Whether ``sigmas`` are those of ``flow_sigmas``; False if they are those of ``edm_sigmas``.

    Raises:
        ValueError: if they are neither: the solver's coefficients belong to its own sigmas.
    """
    given = torch.as_tensor(sigmas).detach().cpu().double()
    if given.shape != (len(KNOTS),):
        raise ValueError(
            f"{NAME} makes {len(TIMES)} steps: expected its own {len(KNOTS)} sigmas, of "
            f"edm_sigmas() or flow_sigmas(), got {given.numel()}"
        )
    if torch.allclose(given, flow_sigmas(), rtol=1e-3, atol=1e-4):
        return True
    if KNOTS[0] > 0 and torch.allclose(given, edm_sigmas(), rtol=1e-3, atol=1e-4):
        return False
    raise ValueError(
        f"{NAME}: expected its own sigmas, {flow_sigmas().tolist()} for flows or those of "
        f"edm_sigmas(), got {given.tolist()}; another schedule needs another solver"
    )


@torch.no_grad()
def sample_dss(  # noqa: PLR0917 - k-diffusion's calling convention
    model: Callable[..., Tensor],
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], object] | None = None,
    disable: bool | None = None,  # noqa: ARG001 - of a progress bar, which callers draw
) -> Tensor:
    """Sample from ``x``, the state at sigmas[0]; returns the state at sigmas[-1].

    Args:
        model: (x, sigma, **extra_args) -> denoised, with sigma (B,).
        x: (B, *sample_shape).
        sigmas: (N + 1,), those of ``edm_sigmas`` or ``flow_sigmas``.
        extra_args: keyword arguments of the model.
        callback: called after each query with x, i, sigma, sigma_hat (the one queried) and
            denoised.
        disable: accepted and not used.

    Raises:
        ValueError: if the sigmas are not the solver's own.
    """
    flow = is_flow(sigmas)
    state = origin = x if flow else KNOTS[0] * x  # at t = 1 / (1 + sigma), x / (1 + sigma)
    velocities = list[Tensor]()
    for i, t in enumerate(TIMES):
        own, sigma = (state, 1 - t) if flow else (state / t, (1 - t) / t)
        levels = own.new_full((len(own),), sigma)
        denoised = model(own, levels, **(extra_args or {}))
        if callback is not None:
            seen = {"x": own, "sigma": sigmas[i], "sigma_hat": levels[0], "denoised": denoised}
            callback({"i": i} | seen)
        velocities.append((denoised - state) / (1 - t))
        state = START[i] * origin
        for weight, velocity in zip(WEIGHTS[i], velocities, strict=True):
            state = state + weight * velocity
    return state if flow else state / KNOTS[-1]
