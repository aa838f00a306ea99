"""What the networks of pipelines predict, and how it becomes the frame's velocity.

A pipeline's state is x = a data + s noise, a + s times the frame's state z. On a flow a + s = 1; a
diffusion has a^2 + s^2 = 1.
"""

import torch
from torch import Tensor

FLOW, NOISE, V = PREDICTIONS = "flow_prediction", "epsilon", "v_prediction"  # diffusers' words


def state_scales(prediction: str, times: Tensor) -> Tensor:
    """The scale a + s (N,) at frame times (N,): what a pipeline's state is over the frame's."""
    return torch.ones_like(times) if prediction == FLOW else 1 / torch.hypot(times, 1 - times)


def velocity_factors(prediction: str, times: Tensor) -> tuple[Tensor, Tensor]:
    """The p and q (N,) with which velocity = p (output + q z) at frame times (N,).

    The output is noise - data on a flow, the noise, or v = a noise - s data (arXiv 2202.00512,
    appendix D); the velocity is data - noise, with a data = x - s noise or with
    data = a x - s v, noise = s x + a v, where x = (a + s) z and t = a / (a + s).
    """
    scale = state_scales(prediction, times)
    if prediction == NOISE:
        return -1 / times, -torch.ones_like(times)
    if prediction == V:
        return -scale, (1 - 2 * times) * scale
    return -torch.ones_like(times), torch.zeros_like(times)


def noise_levels(prediction: str, knots: Tensor) -> Tensor:
    """What diffusers calls sigmas (N + 1,) at the knots (N + 1,): s of a flow, s / a else."""
    noise = 1 - knots
    return noise if prediction == FLOW else noise / knots
