"""What a gradient through the network holds in memory, and how to hold less."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from dss_ray.models.meter import Meter
from dss_ray.search.result import Batch
from dss_ray.solver.sampling import Velocity

MIB = 2**20


@dataclass(frozen=True)
class Plan:
    """How to keep a gradient's activations within a budget.

    Args:
        recompute: whether a query keeps its input alone and runs again in the backward pass.
        parts: into how many equal parts a batch is cut, one after the other.
    """

    recompute: bool
    parts: int

    @property
    def tensor(self) -> Tensor:
        """Both, to be stored."""
        return torch.tensor([int(self.recompute), self.parts])

    @classmethod
    def of(cls, tensor: Tensor) -> Plan:
        """The plan that ``tensor`` stores."""
        recompute, count = tensor.tolist()
        return cls(bool(recompute), count)


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples of a batch."""

    batch: Batch
    rows: slice

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
    if count == 1:
        yield batch
        return
    size = len(batch.noise) // count
    for first in range(0, count * size, size):
        yield Part(batch, slice(first, first + size))


def fit(per_sample: int, size: int, nfe: int, memory: int) -> Plan:
    """The plan for ``size`` samples of ``nfe`` queries, each of ``per_sample`` bytes.

    All activations are kept where ``memory`` (MiB) holds them, since recomputing costs one more
    evaluation in three. Else those of one query at a time are, and of fewer samples at a time
    where even they are too many. One sample is always taken.
    """
    budget = memory * MIB
    if per_sample * size * nfe <= budget:
        return Plan(recompute=False, parts=1)
    room = max(1, budget // per_sample)
    count = next(k for k in range(1, size + 1) if size % k == 0 and size // k <= room)
    return Plan(recompute=True, parts=count)


def bytes_per_sample(velocity: Velocity, batch: Batch, time: Tensor) -> int:
    """What one query keeps of one sample for its backward pass; takes three evaluations.

    The difference between two samples and one leaves out what they share, such as weights.
    """
    one, two = (kept_bytes(velocity, Part(batch, slice(count)), time) for count in (1, 2))
    return max(two - one, 1)


def kept_bytes(velocity: Velocity, batch: Batch, time: Tensor) -> int:
    """Bytes of all tensors that a query keeps for its backward pass."""
    kept = dict[int, int]()

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    state = batch.noise.detach().requires_grad_()
    with torch.enable_grad(), saved_tensors_hooks(note, lambda tensor: tensor):
        value = velocity(state, time.to(state), batch.label)
    del value  # it held the tensors, so that no address served twice
    return sum(kept.values())


def recomputed(velocity: Meter) -> Velocity:
    """``velocity``, keeping its input alone: the backward pass calls it once more (counted)."""

    def query(x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        velocity.evaluations += 2 * velocity.evaluations_per_query * len(x)
        with velocity.timed():  # the backward pass times the second call
            value: Tensor = checkpoint(
                velocity.velocity, x, t, label, use_reentrant=False, preserve_rng_state=False
            )
            return value

    return query
