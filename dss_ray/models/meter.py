"""Counts what a velocity costs: network evaluations and processor time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from torch import Tensor

from dss_ray.solver.sampling import Velocity

BACKWARD = 2  # evaluations that one backward pass counts as


class Meter:
    """A velocity that counts its calls and the processor time of this thread inside them.

    Time of the thread, not of the clock: a thread that waits for a core is not computing.

    Args:
        velocity: what to call.
        evaluations_per_query: network evaluations of one call per sample; 2 under guidance.

    Attributes:
        evaluations: network evaluations so far, per sample, summed.
        seconds: processor seconds so far.
        process_seconds: those of all meters of this process, to see how busy a worker was.
    """

    process_seconds: ClassVar[float] = 0.0

    def __init__(self, velocity: Velocity, evaluations_per_query: int = 1) -> None:
        self.velocity = velocity
        self.evaluations_per_query = evaluations_per_query
        self.evaluations = 0
        self.seconds = 0.0

    def __call__(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """The velocity; see ``Velocity``."""
        self.evaluations += self.evaluations_per_query * len(x)
        with self.timed():
            return self.velocity(x, t, label)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the processor time of a block, such as a backward pass, as the network's."""
        began = time.thread_time()
        yield
        spent = time.thread_time() - began
        self.seconds += spent
        Meter.process_seconds += spent
