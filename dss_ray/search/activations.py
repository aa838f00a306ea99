"""Cut a gradient's work so that the network's activations fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.search.memory import room, samples_that_fit
from dss_ray.search.result import Batch


@dataclass(frozen=True)
class Plan:
    """How to take the gradient of a batch.

    Args:
        recompute: whether activations are computed again in the backward pass, query by query.
        parts: into how many equal parts a batch is cut, one after the other.
    """

    recompute: bool = False
    parts: int = 1

    @property
    def tensor(self) -> Tensor:
        """Both, to be stored."""
        return torch.tensor([int(self.recompute), self.parts])

    @classmethod
    def of(cls, tensor: Tensor) -> Plan:
        """The plan that ``tensor`` stores."""
        recompute, count = tensor.tolist()
        return cls(bool(recompute), count)


def plan(gradient_of: Callable[[Batch, Plan], object], batch: Batch, memory: int) -> Plan:
    """The plan for batches such as ``batch``, found on one and two of its samples.

    Activations are kept where they fit, since computing them again costs one more evaluation in
    three. Else those of one query at a time are, which do not grow with N, and of fewer samples
    at a time where even they are too many. One sample is always taken.

    Args:
        gradient_of: takes the gradient of a batch by a plan.
        batch: of the size that is asked for.
        memory: in MiB.
    """
    size, allowed = len(batch.noise), room(memory, batch.noise.device)

    def fitting(how: Plan) -> int:
        def work(count: int) -> None:
            gradient_of(Part(batch, slice(count)), how)

        return samples_that_fit(work, size, allowed)

    if fitting(Plan()) == size:
        return Plan()
    most = fitting(Plan(recompute=True))
    count = next(k for k in range(1, size + 1) if size % k == 0 and size // k <= most)
    return Plan(recompute=True, parts=count)


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples of a batch."""

    batch: Batch
    rows: slice | Tensor

    @property
    def noise(self) -> Tensor:
        """Start states (b, *sample_shape)."""
        return self.batch.noise[self.rows]

    @property
    def label(self) -> Tensor | None:
        """Labels (b,) or None."""
        return None if self.batch.label is None else self.batch.label[self.rows]

    @property
    def end(self) -> Tensor:
        """The teacher's end states (b, *sample_shape)."""
        return self.batch.end[self.rows]

    def at(self, time: Tensor) -> Tensor:
        """The teacher's states (b, *sample_shape) at a scalar time."""
        return self.batch.at(time)[self.rows]


def parts(batch: Batch, count: int) -> Iterator[Batch]:
    """Cut a batch into ``count`` equal parts."""
    size = len(batch.noise) // count
    for first in range(0, count * size, size):
        yield Part(batch, slice(first, first + size)) if count > 1 else batch
