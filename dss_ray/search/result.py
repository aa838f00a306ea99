"""What an inner search is asked and what it returns."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from dss_ray.errors import UsageError, require_known
from dss_ray.solver.table import SolverTable

Progress = Callable[[int, int], None]  # units of work done, and those in all


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


class Journal(Protocol):
    """Where a method keeps its state, so that an interrupted search goes on."""

    def read(self, stage: str) -> dict[str, Tensor] | None:
        """The last state that ``stage`` wrote, or None."""
        ...

    def write(self, stage: str, tensors: dict[str, Tensor]) -> None:
        """Keep the state of ``stage``, whole or not at all."""
        ...


class Batches(Protocol):
    """A source of teacher trajectories."""

    def batch(self, index: int, size: int) -> Batch:
        """The trajectories number ``index * size`` to ``(index + 1) * size``."""
        ...


FEW = 6  # queries; with no more the error has heavy tails: a few samples make most of it
TARGETS = ("end", "trajectory", "features")
NAMES = {
    "objective": TARGETS,
    "optimizer": ("adam", "lion"),
    "precision": ("float32", "bfloat16", "float16"),
}


@dataclass(frozen=True)
class SearchSettings:
    """The settings of an inner search; each method reads those that concern it.

    Where None is a default, each method has its own number.

    Args:
        samples: teacher trajectories that the methods aim at; 512 for few queries, 256 for more,
            twice as many for ``gauss-newton``.
        seed: of their noises, in the search domain.
        ridge: least squares' regularisation, relative to each diagonal element.
        space: of tables (``dss_ray.search.space.SPACES``); "auto" is the method's own choice.
        objective: "end", "trajectory" (all knots) or "features" (of the end state).
        loss: of a residual: "square", "huber:d" or "lp:p".
        penalty: weight of the bound of theorem 4.4 (``dss_ray.search.objective.error_bound``).
        features: extractor that steers; the model's own where None.
        statistics: an .npz of reference statistics of that extractor, for ``frechet``; those that
            ship with it, or else the teacher's, where None.
        iterations: of each iterative method.
        batch_size: samples of one iteration.
        learning_rate: of the first iteration, falling to zero on a half cosine.
        optimizer: "adam" or "lion".
        clip: largest norm of a gradient; None does not clip.
        ema: decay of the moving average of the parameters, per iteration; 0 keeps the last.
        guidance_rate: learning rate of one guidance scale per step; 0 keeps the scale as it is.
        precision: of the network: "float32", or "bfloat16" or "float16" by autocast.
        memory: MiB that Gauss-Newton's tangents may take at once.

    Raises:
        UsageError: if a number is out of range.
    """

    samples: int | None = None
    seed: int = 0
    ridge: float = 1e-5
    space: str = "auto"
    objective: str = "end"
    loss: str = "square"
    penalty: float = 0.0
    features: str | None = None
    statistics: str | None = None
    iterations: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    optimizer: str = "adam"
    clip: float | None = None
    ema: float = 0.0
    guidance_rate: float = 0.0
    precision: str = "float32"
    memory: int = 1024

    def enough(self, nfe: int, stage: str = "") -> int:
        """The samples of a stage for ``nfe`` queries: what is given, or else the default."""
        usual = 512 if nfe <= FEW else 256
        return self.samples or (2 * usual if stage == "gauss-newton" else usual)

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int):
            raise UsageError(f"seed: expected an integer, got {self.seed!r}")
        for name in ("samples", "iterations", "batch_size", "memory"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise UsageError(f"{name}: expected an integer of at least 1, got {value!r}")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name}: expected a positive number, got {value}")
        for name in ("ridge", "penalty", "guidance_rate"):
            if not 0 <= getattr(self, name) < math.inf:
                found = getattr(self, name)
                raise UsageError(f"{name}: expected a number of at least 0, got {found}")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema: expected at least 0 and less than 1, got {self.ema}")
        for name, known in NAMES.items():
            require_known(name, getattr(self, name), known)


@dataclass(frozen=True, eq=False)
class SearchResult:
    """A searched table with what it took.

    Args:
        table: the solver.
        history: (iteration, loss) pairs, the loss in the units of the method's objective.
        evaluations: network calls per sample, summed; a backward pass counts two.
        seconds: wall seconds, without the reference.
        network_seconds: processor seconds of this thread inside the network and its derivatives.
        guidance: searched scale, or one per query; None where the method keeps what it was given.
    """

    table: SolverTable
    history: list[tuple[int, float]] = field(default_factory=list)
    evaluations: int = 0
    seconds: float = 0.0
    network_seconds: float = 0.0
    guidance: float | tuple[float, ...] | None = None
