"""The reference: a fine Adams-Bashforth trajectory, dense in time by interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle

import torch
from torch import Tensor

from dss_ray.errors import DivergedError
from dss_ray.solver.adams import adams_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import Velocity, steps
from dss_ray.solver.table import SolverTable

SOLVER = "ab4 on cosine or logsnr"  # names reference_table in cache keys: change both together


@dataclass(frozen=True, eq=False)
class Knots:
    """Values of many samples at all knots, read knot by knot, so that the rest may stay on disk.

    Args:
        blocks: consecutive samples, each block (K + 1, b, *sample_shape).
        device: where the values go when they are read.
    """

    blocks: tuple[Tensor, ...]
    device: torch.device

    def __getitem__(self, index: int) -> Tensor:
        """The values (B, *sample_shape) at one knot."""
        return torch.cat([block[index] for block in self.blocks]).to(self.device)

    def samples(self, first: int, count: int) -> Knots:
        """Those of ``count`` samples from ``first`` on, round and round; views, no copies."""
        first %= sum(block.shape[1] for block in self.blocks)
        picked, offset = list[Tensor](), 0
        for block in cycle(self.blocks):
            low, high = max(first - offset, 0), min(first + count - offset, block.shape[1])
            if low < high:
                picked.append(block[:, low:high])
            offset += block.shape[1]
            if offset >= first + count:
                break
        return Knots(tuple(picked), self.device)


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Stored trajectories: the states of some samples at each of some times.

    Args:
        times: (K + 1,) float64, increasing.
        states: (B, *sample_shape) at each of them.
    """

    times: Tensor
    states: Knots

    @property
    def noise(self) -> Tensor:
        """The start states (B, *sample_shape)."""
        return self.states[0]

    @property
    def end(self) -> Tensor:
        """The end states (B, *sample_shape)."""
        return self.states[-1]

    def __len__(self) -> int:
        return len(self.noise)


@dataclass(frozen=True, eq=False)
class Reference(Trajectories):
    """Fine trajectories with cubic Hermite interpolation between their knots.

    Args:
        times: (K + 1,) float64, increasing.
        states: (B, *sample_shape) at each of them.
        velocities: (B, *sample_shape), those at the states.
        label: (B,) int64 or None.
    """

    velocities: Knots
    label: Tensor | None

    def at(self, time: Tensor) -> Tensor:
        """The states (B, *sample_shape) at a scalar time; gradients flow through the time."""
        index = int(torch.searchsorted(self.times, time.detach().double(), right=True)) - 1
        index = min(max(index, 0), len(self.times) - 2)
        left, right = self.times[index], self.times[index + 1]
        start, width = self.states[index], right - left
        u = (time - left) / width
        basis = torch.stack(
            [(1 + 2 * u) * (1 - u) ** 2, u * (1 - u) ** 2 * width,
             u**2 * (3 - 2 * u), u**2 * (u - 1) * width]
        ).to(start)  # fmt: skip
        return (
            basis[0] * start
            + basis[1] * self.velocities[index]
            + basis[2] * self.states[index + 1]
            + basis[3] * self.velocities[index + 1]
        )

    def batch(self, index: int, size: int) -> Reference:
        """The samples ``index * size`` to ``(index + 1) * size``, round and round."""
        if size >= len(self):
            return self
        first, label = index * size, self.label
        if label is not None:
            label = label[torch.arange(first, first + size) % len(label)]
        states, velocities = (
            values.samples(first, size) for values in (self.states, self.velocities)
        )
        return Reference(self.times, states, velocities, label)


@lru_cache(maxsize=8)  # many blocks of samples are solved with one table
def reference_table(count: int, first: float, last: float) -> SolverTable:
    """Fourth-order Adams-Bashforth on ``count`` steps of a grid that is dense at both ends.

    The cosine grid where the flow starts at 0: on a trained network 40 evaluations come nearer to
    it than 96 of the classical Runge-Kutta method or 60 of any order on the uniform grid. Where a
    diffusion model leaves out both ends, equal steps of log-SNR, which need a quarter as many.
    """
    grid = "logsnr" if first > 0 and last < 1 else "cosine"
    return adams_table(make_grid(grid, count, first, last), order=4)


@torch.no_grad()
def solve_reference(
    velocity: Velocity, noise: Tensor, label: Tensor | None, table: SolverTable
) -> Reference:
    """Dense trajectories of ``table`` from ``noise`` (B, *sample_shape); K + 1 evaluations each.

    Raises:
        DivergedError: if NaN or infinity appears.
    """
    path = list(steps(velocity, table, noise, label))
    end, last = path[-1][1], table.knots[-1]
    states = torch.stack([noise, *(state for _, state in path)])
    velocities = torch.stack([*(value for value, _ in path), velocity(end, last.to(noise), label)])
    require_finite("the reference trajectory", states, velocities)
    reached, fields = (Knots((values,), noise.device) for values in (states, velocities))
    return Reference(table.knots, reached, fields, label)


def require_finite(what: str, *values: Tensor) -> None:
    """Raise a DivergedError that names ``what`` if any of ``values`` holds NaN or infinity."""
    if not all(tensor.isfinite().all() for tensor in values):
        raise DivergedError(
            f"{what} met NaN or infinity: check the model's output and its time range"
        )
