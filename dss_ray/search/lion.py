"""The Lion optimiser (Chen et al. 2023, arXiv 2302.06675, algorithm 2), without weight decay."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lion(torch.optim.Optimizer):
    """Moves each parameter by the learning rate in the direction of a momentum's sign."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.99)
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update all parameters from their gradients."""
        if closure is not None:
            raise NotImplementedError("Lion takes no closure: compute the gradients before step()")
        for group in self.param_groups:
            fast, slow = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                parameter -= group["lr"] * momentum.lerp(parameter.grad, 1 - fast).sign()
                momentum.lerp_(parameter.grad, 1 - slow)
