"""SUMMARY.

FACTS

The solver is a table of numbers and a loop of a few lines; torch is all it needs. Time t runs from
0, noise, to 1, data, along x_t = t * data + (1 - t) * noise, with velocity = data - noise.

A model that predicts the velocity (a flow; for SD3, Flux and diffusers t = 1 - sigma, and the
velocity is minus the network's output):

    def velocity(x, t, guidance):  # t and guidance are numbers
        v, v_null = network(x, t, label), network(x, t, null_label)
        return v_null + guidance * (v - v_null)  # at guidance 1 just v

    with torch.no_grad():
        data = sample(velocity, torch.randn(8, *shape))

A model that predicts the noise or the data on a path x = a * data + s * noise of its own, such as
``vp`` (a^2 + s^2 = 1: DDPM, DiT, Stable Diffusion) or ``edm`` (a = 1, s = sigma). From a and s it
takes its own time: sigma = s / a, or the index at which its schedule has that a / s:

    def predict(x, a, s, guidance):
        return denoiser(x, s / a)

    with torch.no_grad():
        noise = torch.randn(8, *shape)  # on "edm" times sigma at the start, s of edm(KNOTS[0])
        data = sample_path(predict, noise, "data", edm)
"""

import math
from collections.abc import Callable

from torch import Tensor

NAME = "euler-1"
GUIDANCE = (1.0,)
TIMES = (0.0,)
START = (1.0,)
WEIGHTS = ((1.0,),)
KNOTS = (0.0, 1.0)


def sample(velocity: Callable[[Tensor, float, float], Tensor], noise: Tensor) -> Tensor:
    """The state at KNOTS[-1] that the solver reaches from ``noise``, the state at KNOTS[0].

    Args:
        velocity: (x, t, guidance) -> dx/dt, of the shape of x; called once for each of TIMES.
        noise: (B, *sample_shape), standard normal where the model is a flow.
    """
    state, velocities = noise, list[Tensor]()
    for i, t in enumerate(TIMES):
        velocities.append(velocity(state, t, GUIDANCE[i]))
        state = START[i] * noise
        for weight, v in zip(WEIGHTS[i], velocities, strict=True):
            state = state + weight * v
    return state


def vp(t: float) -> tuple[float, float]:
    """The scales of data and noise of a variance-preserving path at time t."""
    radius = math.hypot(t, 1 - t)
    return t / radius, (1 - t) / radius


def edm(t: float) -> tuple[float, float]:
    """The scales of data and noise of the path data + sigma * noise at time t."""
    return 1.0, (1 - t) / t


def sample_path(
    predict: Callable[[Tensor, float, float, float], Tensor],
    noise: Tensor,
    prediction: str,
    path: Callable[[float], tuple[float, float]],
) -> Tensor:
    """The data that the solver reaches with a model of the noise or the data, from its own noise.

    Args:
        predict: (x, a, s, guidance) -> noise or data, at x = a * data + s * noise.
        noise: (B, *sample_shape), the model's own state at KNOTS[0]: standard normal on ``vp``,
            sigma times that on ``edm``.
        prediction: "noise" or "data".
        path: t -> (a, s).
    """
    if prediction not in ("noise", "data"):
        raise ValueError(f'prediction must be "noise" or "data", got {prediction!r}')

    def velocity(state: Tensor, t: float, guidance: float) -> Tensor:
        a, s = path(t)
        x = (a + s) * state
        predicted = predict(x, a, s, guidance)
        if prediction == "data":
            return predicted - (x - a * predicted) / s
        return (x - s * predicted) / a - predicted

    return sum(path(KNOTS[-1])) * sample(velocity, noise / sum(path(KNOTS[0])))
