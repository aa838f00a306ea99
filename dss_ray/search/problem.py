"""What a search minimises over which samples, some of them held out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
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
Weighted = tuple[Batch, float]  # samples, and how many each of them stands for


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

    def hardest(self, losses: Tensor, count: int, size: int, seed: int) -> Iterator[Weighted]:
        """Some samples for training that tell nearly what all of them would.

        A few samples make most of a solver's error, and of what its numbers can do about it: those
        of the greatest loss are taken, and as many others at random that stand for all the rest,
        so that sums over these samples have the expectation of sums over all (stratified sampling
        with one stratum taken whole; Cochran, Sampling Techniques, 1977, chapter 5).

        Args:
            losses: (trained,) of the samples for training.
            count: of the hardest, and of the others; all samples are taken where there are no more.
            size: at most so many at a time.
            seed: of the choice.
        """
        if 2 * count >= len(losses):
            yield from ((batch, 1.0) for batch in self.training(size))
            return
        order = losses.argsort(descending=True)
        rest = order[count:]
        chosen = torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))[:count]
        everyone = self.reference.batch(0, self.samples)
        for rows, weight in ((order[:count], 1.0), (rest[chosen], len(rest) / count)):
            for piece in torch.split(rows.sort().values, size):
                yield Part(everyone, piece), weight

    def held_out(self, size: int) -> Iterator[Batch]:
        """The others."""
        return pieces(self.reference, self.trained, self.samples, size)

    def losses_at(self, coordinates: Tensor, batches: Iterator[Batch]) -> Tensor:
        """``losses`` of the table at ``coordinates``; infinity alone where they make none."""
        try:
            table = self.space.table(coordinates)
        except TableError:
            return torch.tensor([torch.inf])
        return self.losses(table, batches)

    def losses(self, table: SolverTable, batches: Iterator[Batch]) -> Tensor:
        """The objective of each sample (B,) float64 on the CPU, NaN or infinite if it diverges."""
        found = list[Tensor]()
        for batch in batches:
            path = steps(self.velocity, table, batch.noise, batch.label)
            states = [state for _, state in path]
            found.append(self.objective.of_each(states, batch, table).double().cpu())
        return torch.cat(found)


def pieces(reference: Batches, first: int, last: int, size: int) -> Iterator[Batch]:
    """The samples ``first`` to ``last`` of ``reference``, at most ``size`` at a time."""
    for index in range(first // size, -(-last // size)):
        low, high = max(first - index * size, 0), min(last - index * size, size)
        batch = reference.batch(index, size)
        yield batch if high - low == size else Part(batch, slice(low, high))
