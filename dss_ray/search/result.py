"""What an inner search is asked and what it returns."""

import math
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.solver.table import SolverTable


class Batch(Protocol):
    """Teacher trajectories of some samples: where they start and where they should pass."""

    @property
    def noise(self) -> Tensor:
        """Start states (B, *sample_shape)."""
        ...

    @property
    def label(self) -> Tensor | None:
        """Labels (B,) int64 or None."""
        ...

    @property
    def end(self) -> Tensor:
        """The teacher's end states (B, *sample_shape)."""
        ...

    def at(self, time: Tensor) -> Tensor:
        """The teacher's states (B, *sample_shape) at a scalar time."""
        ...


class Batches(Protocol):
    """A source of teacher trajectories."""

    def batch(self, index: int, size: int) -> Batch:
        """The trajectories number ``index * size`` to ``(index + 1) * size``."""
        ...


@dataclass(frozen=True)
class SearchSettings:
    """The settings of an inner search; each method reads those that concern it.

    Args:
        samples: teacher trajectories that least squares and the gradient methods aim at.
        seed: of their noises, in the search domain.
        ridge: least squares' regularisation, relative to each diagonal element.
        objective: "end" (mean square error of the end states) or "trajectory" (of all knots).
        iterations: gradient steps.
        batch_size: samples of one gradient step.
        learning_rate: of Adam, falling to zero on a cosine.

    Raises:
        UsageError: if a number is out of range.
    """

    samples: int = 256
    seed: int = 0
    ridge: float = 1e-5
    objective: str = "trajectory"
    iterations: int = 100
    batch_size: int = 64
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        for name in ("samples", "iterations", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if not 0 <= self.ridge < math.inf:
            raise UsageError(f"ridge: expected a number of at least 0, got {self.ridge}")
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"learning_rate: expected a positive number, got {self.learning_rate}")


@dataclass(frozen=True, eq=False)
class SearchResult:
    """A searched table with what it took.

    Args:
        table: the solver.
        history: (iteration, loss) pairs, the loss in the units of the method's objective.
        evaluations: network calls per sample, summed; a backward pass counts two.
        seconds: wall seconds, without the reference.
        network_seconds: processor seconds of this thread inside the network and its derivatives.
    """

    table: SolverTable
    history: list[tuple[int, float]] = field(default_factory=list)
    evaluations: int = 0
    seconds: float = 0.0
    network_seconds: float = 0.0
