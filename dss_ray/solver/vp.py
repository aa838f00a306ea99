"""The variance-preserving diffusion with linear betas, seen from the package's frame."""

import torch
from torch import Tensor

BETA_START, BETA_END = 0.1, 20.0  # per unit of diffusion time, as in Score SDE (2011.13456)
VP_START, VP_END = 0.999, 0.001  # usable range of diffusion time, noise to data


def frame_time(vp_time: Tensor) -> Tensor:
    """Frame time a / (a + s) of a VP diffusion time, elementwise.

    With log a(T) = -T^2 (beta_1 - beta_0) / 4 - T beta_0 / 2 and s^2 = 1 - a^2
    (Score SDE, arXiv 2011.13456, eq. 33).

    Args:
        vp_time: float64, diffusion time, 0 = data, about 1 = noise.
    """
    log_alpha = -(vp_time**2) * (BETA_END - BETA_START) / 4 - vp_time * BETA_START / 2
    sigma = (-torch.expm1(2 * log_alpha)).sqrt()
    alpha = log_alpha.exp()
    return alpha / (alpha + sigma)


def vp_time(time: Tensor) -> Tensor:
    """VP diffusion time of a frame time strictly between 0 and 1; the inverse of ``frame_time``.

    Args:
        time: float64, frame time, 0 = noise, 1 = data.
    """
    rate = torch.nn.functional.softplus(-2 * time.logit()) / 2  # -log a, from a / s = t / (1 - t)
    slope = BETA_END - BETA_START
    # The smaller root of slope/4 T^2 + beta_0/2 T = rate, written without cancellation.
    return 4 * rate / (BETA_START + (BETA_START**2 + 4 * slope * rate).sqrt())
