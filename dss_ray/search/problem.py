"""What a search minimises over which samples, some of them held out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from dss_ray.errors import TableError
from dss_ray.models.meter import Meter
from dss_ray.search.activations import Part
from dss_ray.search.objective import Objective
from dss_ray.search.result import Batch, Batches
from dss_ray.search.space import Space
from dss_ray.solver.sampling import steps
from dss_ray.solver.table import SolverTable

PARTS = 4  # the last of so many parts of the samples is held out
INFINITE = float("inf")


@dataclass(frozen=True, eq=False)
class Problem:
    """An objective in a space of tables, over samples for training and samples held out.

    Args:
        velocity: the metered model.
        reference: the samples.
        samples: how many of them count, at least ``PARTS``.
        space: of tables.
        objective: of the states.
    """

    velocity: Meter
    reference: Batches
    samples: int
    space: Space
    objective: Objective

    @property
    def trained(self) -> int:
        """The number of samples for training."""
        return self.samples - self.samples // PARTS

    def training(self, size: int) -> Iterator[Batch]:
        """The first samples, at most ``size`` at a time."""
        return pieces(self.reference, 0, self.trained, size)

    def held_out(self, size: int) -> Iterator[Batch]:
        """The others."""
        return pieces(self.reference, self.trained, self.samples, size)

    def loss_at(self, coordinates: Tensor, batches: Iterator[Batch]) -> float:
        """``loss`` of the table at ``coordinates``; infinite where they make none."""
        try:
            table = self.space.table(coordinates)
        except TableError:
            return INFINITE
        return self.loss(table, batches)

    def loss(self, table: SolverTable, batches: Iterator[Batch]) -> float:
        """The objective's mean over all samples; infinite where they diverge."""
        total, count = 0.0, 0
        for batch in batches:
            path = steps(self.velocity, table, batch.noise, batch.label)
            value = self.objective([state for _, state in path], batch, table)
            total += float(value.double()) * len(batch.noise)
            count += len(batch.noise)
        return total / count if abs(total) < INFINITE else INFINITE


def pieces(reference: Batches, first: int, last: int, size: int) -> Iterator[Batch]:
    """The samples ``first`` to ``last`` of ``reference``, at most ``size`` at a time."""
    for index in range(first // size, -(-last // size)):
        low, high = max(first - index * size, 0), min(last - index * size, size)
        batch = reference.batch(index, size)
        yield batch if high - low == size else Part(batch, slice(low, high))
