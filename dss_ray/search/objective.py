"""What a search minimises: how far states are off, how that is weighed, and a penalty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.errors import UsageError, require_known
from dss_ray.search.result import TARGETS, Batch
from dss_ray.solver.sampling import differences
from dss_ray.solver.table import SolverTable

Features = Callable[[Tensor], Tensor]  # end states (B, *sample_shape) -> features (B, F)
Residual = Callable[[Sequence[Tensor], Batch, Tensor], Tensor]
LOSSES = ("square", "huber", "lp")
SMALLEST = 1e-6  # residuals and coefficients below count as this where one divides by them


@dataclass(frozen=True)
class Loss:
    """rho(r), elementwise, as a weighted square: near r it is w(r) r^2 up to a constant.

    ``square`` is r^2; ``huber:d`` is r^2 up to |r| = d and 2 d |r| - d^2 beyond; ``lp:p`` is |r|^p,
    continued by a parabola below SMALLEST, where its weight would have no bound.

    Args:
        name: one of LOSSES.
        parameter: d or p.
    """

    name: str = "square"
    parameter: float = 1.0

    def value(self, residual: Tensor) -> Tensor:
        """rho(residual)."""
        if self.name == "square":
            return residual.square()
        size = residual.abs()
        if self.name == "lp":
            power, tiny = self.parameter, size < SMALLEST
            parabola = power / 2 * SMALLEST ** (power - 2) * residual.square()
            offset = (1 - power / 2) * SMALLEST**power
            return torch.where(tiny, parabola + offset, size.clamp(min=SMALLEST) ** power)
        bent = self.parameter * (2 * size - self.parameter)
        return torch.where(size <= self.parameter, residual.square(), bent)

    def weight(self, residual: Tensor) -> Tensor:
        """The weight rho'(r) / (2 r): reweighted least squares has the same gradient."""
        if self.name == "square":
            return torch.ones_like(residual)
        size = residual.detach().abs()
        if self.name == "lp":
            return self.parameter / 2 * size.clamp(min=SMALLEST) ** (self.parameter - 2)
        return self.parameter / size.clamp(min=self.parameter)


def parse_loss(spec: str) -> Loss:
    """The loss of ``square``, ``huber:0.1`` or ``lp:1``.

    Raises:
        UsageError: if the name is unknown, or the number missing, not positive or a p above 2.
    """
    name, _, field = spec.partition(":")
    require_known("loss", name, LOSSES)
    if name == "square":
        if field:
            raise UsageError(f"loss '{spec}': square takes no number")
        return Loss()
    try:
        parameter = float(field)
    except ValueError:
        parameter = -1.0
    largest = 2.0 if name == "lp" else float("inf")
    if not 0 < parameter <= largest or parameter == float("inf"):
        bound = " up to 2" if name == "lp" else ""
        raise UsageError(f"loss '{spec}': expected a positive number{bound}, such as {name}:1")
    return Loss(name, parameter)


@dataclass(frozen=True)
class Objective:
    """The mean over samples and elements of a loss of residuals, and a penalty on the table.

    Args:
        residual: (states after each step, batch, knots) -> (B, R), differentiable.
        loss: of each residual.
        penalty: weight of ``error_bound``.
    """

    residual: Residual
    loss: Loss = Loss()
    penalty: float = 0.0

    def __call__(self, states: Sequence[Tensor], batch: Batch, table: SolverTable) -> Tensor:
        """The scalar to be minimised."""
        return self.of_each(states, batch, table).mean()

    def of_each(self, states: Sequence[Tensor], batch: Batch, table: SolverTable) -> Tensor:
        """What each sample gives (B,), the penalty included."""
        value = self.loss.value(self.residual(states, batch, table.knots)).mean(1)
        return value + self.penalty * error_bound(table) if self.penalty else value


def error_bound(table: SolverTable) -> Tensor:
    """sum_ij |c_ij| (t_{i+1} - t_i): how a table amplifies the model's own error.

    Differentiable Solver Search (arXiv 2505.21114), theorem 4.4, with c in the velocity form.
    """
    return differences(table)[1].abs().sum()


def end_residual(states: Sequence[Tensor], batch: Batch, knots: Tensor) -> Tensor:  # noqa: ARG001
    """What the end states are off by (B, D)."""
    return (states[-1] - batch.end).flatten(1)


def trajectory_residual(states: Sequence[Tensor], batch: Batch, knots: Tensor) -> Tensor:
    """What the states at all knots are off by (B, N * D), targets moving with the knots."""
    pairs = zip(states, knots[1:], strict=True)
    return torch.cat([(state - batch.at(knot)).flatten(1) for state, knot in pairs], 1)


def make_objective(
    target: str, loss: str = "square", penalty: float = 0.0, features: Features | None = None
) -> Objective:
    """The objective of that name.

    Args:
        target: "end", "trajectory" or "features" (of the end states).
        loss: "square", "huber:d" or "lp:p".
        penalty: weight of the bound of theorem 4.4.
        features: differentiable map of end states (B, *sample_shape) to (B, F).

    Raises:
        UsageError: if a name is unknown, or ``features`` are missing where they are the target.
    """
    require_known("objective", target, TARGETS)
    if target == "end":
        return Objective(end_residual, parse_loss(loss), penalty)
    if target == "trajectory":
        return Objective(trajectory_residual, parse_loss(loss), penalty)
    if features is None:
        raise UsageError(
            "objective 'features': the model names no feature extractor; name one as features"
        )
    extract = features

    def feature_residual(states: Sequence[Tensor], batch: Batch, knots: Tensor) -> Tensor:  # noqa: ARG001
        return extract(states[-1]) - extract(batch.end)

    return Objective(feature_residual, parse_loss(loss), penalty)
