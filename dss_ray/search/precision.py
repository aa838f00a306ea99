"""Run a network in a shorter float type while the states keep theirs."""

import torch
from torch import Tensor

from dss_ray.solver.sampling import Velocity


def in_precision(velocity: Velocity, precision: str) -> Velocity:
    """``velocity`` under autocast to "bfloat16" or "float16"; as it is for "float32"."""
    if precision == "float32":
        return velocity
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}[precision]

    def query(x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        with torch.autocast(x.device.type, dtype):
            value = velocity(x, t, label)
        return value.to(x.dtype)

    return query
