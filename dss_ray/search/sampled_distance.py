"""The Frechet distance of a solver's own samples as a function of one flat vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dss_ray.errors import DivergedError, TableError
from dss_ray.models.guidance import guide_steps
from dss_ray.models.meter import BACKWARD, Meter
from dss_ray.models.protocol import VelocityModel
from dss_ray.search.bures import FrechetTarget
from dss_ray.search.precision import in_precision
from dss_ray.search.space import Space
from dss_ray.solver.sampling import sample
from dss_ray.solver.table import SolverTable

Noise = Callable[[int, int], tuple[Tensor, Tensor | None]]  # (first, count) -> x_0, label
Batch = Sequence[tuple[Tensor, Tensor | None]]  # x_0 and label, in chunks
Scales = float | tuple[float, ...] | list[Tensor]  # of guidance: one, or one per query

TOGETHER = 1000  # queries whose activations are held at once, whatever the step count
PROBED = 250  # samples that the curvature is taken from
DIFFERENCE = 1e-2  # of a parameter: these derivatives only shape the step


@dataclass(frozen=True, eq=False)
class SampledDistance:
    """How far a solver's samples are from a target.

    Args:
        model: to be sampled, without guidance.
        noise: start states and labels of any samples: (first, count) -> x_0, label.
        target: what the samples should be like.
        space: of tables.
        guidance: one scale or one per query; None where the scales are searched: they stand behind
            the coordinates of the table then.
        precision: of the network.
        meters: of the calls made so far.
    """

    model: VelocityModel
    noise: Noise
    target: FrechetTarget
    space: Space
    guidance: float | tuple[float, ...] | None
    precision: str = "float32"
    meters: list[Meter] = field(default_factory=list)

    @property
    def nfe(self) -> int:
        """The number of queries."""
        return self.space.table(self.space.coordinates).nfe

    def batch(self, first: int, count: int) -> Batch:
        """``count`` samples from ``first`` on, in chunks that bound the memory of a gradient."""
        size, end = max(1, TOGETHER // self.nfe), first + count
        return [self.noise(one, min(size, end - one)) for one in range(first, end, size)]

    def solver(self, theta: Tensor) -> tuple[SolverTable, Scales]:
        """The table at ``theta`` (P,) and its guidance."""
        known = len(self.space.coordinates)
        scales = list(theta[known:]) if self.guidance is None else self.guidance
        return self.space.table(theta[:known]), scales

    def point(self, guidance: float | tuple[float, ...]) -> Tensor:
        """Where the search starts: the coordinates of the table and, if searched, the scales."""
        origin = self.space.coordinates.detach()
        if self.guidance is not None:
            return origin
        scales = guidance if isinstance(guidance, tuple) else (guidance,) * self.nfe
        return torch.cat([origin, origin.new_tensor(scales)])

    def metered(self, table: SolverTable, scales: Scales) -> list[Meter]:
        """The guided model of each query, metered."""
        models = guide_steps(self.model, scales, table.nfe)
        meters = [
            Meter(in_precision(one, self.precision), one.evaluations_per_query) for one in models
        ]
        self.meters.extend(meters)
        return meters

    @torch.no_grad()
    def features(self, table: SolverTable, scales: Scales, batch: Batch) -> Tensor:
        """The features (B, D) of the solver's end states, float64 on the CPU."""
        meters = self.metered(table, scales)
        found = (self.target.features(sample(meters, table, *part)) for part in batch)
        return torch.cat([part.to("cpu", torch.float64) for part in found])

    def value(self, theta: Tensor, batch: Batch) -> float:
        """The distance; infinite where ``theta`` makes no table or a solver that diverges."""
        try:
            return float(self.target.distance(self.features(*self.solver(theta), batch)))
        except (TableError, DivergedError):
            return float("inf")

    def slope(self, theta: Tensor, batch: Batch) -> tuple[Tensor, float, Tensor]:
        """The features (B, D), the distance and its gradient (P,) at ``theta``.

        The distance belongs to the whole batch: its gradient is taken in the features first and
        pulled back chunk by chunk, so that one chunk's activations are held at a time.

        Raises:
            DivergedError: if a feature is NaN or infinite.
        """
        features = self.features(*self.solver(theta), batch).requires_grad_()
        distance = self.target.distance(features)
        (pull,) = torch.autograd.grad(distance, features)
        theta = theta.clone().requires_grad_()
        # A power of two brings them near one: in float16 as small ones as these would be zero.
        scale = 2.0 ** -math.frexp(float(pull.abs().max()))[1]
        for part, own in zip(batch, pull.split(len(batch[0][0])), strict=True):  # type: ignore[no-untyped-call]
            table, scales = self.solver(theta)
            meters = self.metered(table, scales)
            found = self.target.features(sample(meters, table, *part))
            with meters[0].timed():
                found.backward((scale * own).to(found))  # type: ignore[no-untyped-call]
            for meter in meters:
                meter.evaluations += BACKWARD * meter.evaluations_per_query * len(part[0])
        assert theta.grad is not None
        return features.detach(), distance.item(), theta.grad / scale

    def curvature(self, theta: Tensor, features: Tensor, batch: Batch) -> Tensor:
        """The generalised Gauss-Newton matrix (P, P), from differences on a few of the samples."""
        parts = batch[: max(1, PROBED // len(batch[0][0]))]
        some = self.features(*self.solver(theta), parts)
        shifted = theta + DIFFERENCE * torch.eye(len(theta), dtype=theta.dtype)
        columns = [self.features(*self.solver(point), parts) - some for point in shifted]
        return self.target.curvature(features, some, torch.stack(columns, -1) / DIFFERENCE)
