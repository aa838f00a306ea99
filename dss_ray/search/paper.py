"""The paper's recipe, exactly (Differentiable Solver Search, arXiv 2505.21114, section 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from dss_ray.models.cache import Entry, cached
from dss_ray.models.meter import Meter
from dss_ray.models.teacher import Teacher
from dss_ray.search.descent import Descent, descend
from dss_ray.search.lion import Lion
from dss_ray.search.objective import trajectory_residual
from dss_ray.search.result import Batch, Batches, Journal, SearchResult, SearchSettings
from dss_ray.search.space import Space, softmax_knots
from dss_ray.solver.classical import classical_table
from dss_ray.solver.forms import velocity_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.reference import Knots, Trajectories, require_finite
from dss_ray.solver.sampling import steps
from dss_ray.solver.table import SolverTable

TEACHER_STEPS = 100
ITERATIONS, BATCH_SIZE, LEARNING_RATE = 1565, 32, 0.01
HUBER_WEIGHT, HUBER_DELTA = 1000.0, 0.001
BLOCK = 5  # batches solved and cached at once; they divide 1,565
NARROW_NFES, NARROW_ROWS = (5, 6), 2  # the last rows there keep only their nearest coefficient


@dataclass(frozen=True, eq=False)
class EulerBatch(Trajectories):
    """Euler states of a few samples; ``at`` is the nearest one, as in the published code."""

    label: Tensor | None

    def at(self, time: Tensor) -> Tensor:
        """The state (B, *sample_shape) whose knot is nearest to ``time``."""
        return self.states[int((self.times - time.detach()).abs().argmin())]


class EulerStream:
    """Batches of Euler-100 trajectories on fresh noises, cached for all searches in blocks.

    Args:
        teacher: the unguided model and the noises.

    Attributes:
        table: Euler's method with the teacher's steps.
    """

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher
        self.table = euler_table(TEACHER_STEPS, *teacher.ends_at)

    def batch(self, index: int, size: int) -> EulerBatch:
        """The trajectories of samples ``index * size`` to ``(index + 1) * size``."""
        entry = self.block(index // BLOCK, BLOCK * size)
        noise, label = self.teacher.noise(index * size, size)
        states = Knots((entry.tensors["states"],), noise.device).samples(index * size, size)
        return EulerBatch(self.table.knots, states, label)

    def cost(self) -> tuple[int, float]:
        """Network evaluations and wall seconds of all batches of the recipe, whoever solved them.

        Told from the cache, so that an interruption in between does not count.
        """
        blocks, samples = -(-ITERATIONS // BLOCK), BLOCK * BATCH_SIZE
        seconds = sum(self.block(index, samples).seconds for index in range(blocks))
        queries = blocks * samples * TEACHER_STEPS
        return self.teacher.model.evaluations_per_query * queries, seconds

    def block(self, index: int, size: int) -> Entry:
        """The states (steps + 1, size, *sample_shape) of a block of samples."""

        @torch.no_grad()
        def build() -> dict[str, Tensor]:
            noise, label = self.teacher.noise(index * size, size)
            path = [state for _, state in steps(self.teacher.model, self.table, noise, label)]
            states = torch.stack([noise, *path])
            require_finite("the Euler teacher", states)
            return {"states": states}

        return cached(self.teacher.key("euler", first=index * size, samples=size), build)


def paper_objective(states: Sequence[Tensor], batch: Batch, table: SolverTable) -> Tensor:
    """The sum over knots of the mean square error, and a thousand times the end's Huber loss."""
    path = trajectory_residual(states, batch, table.knots).square().mean() * table.nfe
    huber = huber_loss(states[-1], batch.end, delta=HUBER_DELTA)
    return path + HUBER_WEIGHT * huber


def euler_table(nfe: int, first: float, last: float) -> SolverTable:
    """Euler's method on the uniform grid, where the paper starts from and what its teacher is."""
    return classical_table("euler", make_grid("uniform", nfe, first, last))


def coefficient_mask(nfe: int) -> Tensor:
    """Which strictly lower coefficients are searched (N, N), within the published order limits."""
    mask = torch.ones(nfe, nfe, dtype=torch.bool).tril(-1)
    if nfe in NARROW_NFES:
        mask[-NARROW_ROWS:] &= torch.ones(nfe, nfe, dtype=torch.bool).triu(-1)[-NARROW_ROWS:]
    return mask


def paper_space(nfe: int, first: float, last: float) -> Space:
    """Softmax times and the published lower coefficients, rows summing to one, around Euler."""
    rows, columns = coefficient_mask(nfe).nonzero(as_tuple=True)

    def table(coordinates: Tensor) -> SolverTable:
        lower = coordinates.new_zeros(nfe, nfe).index_put((rows, columns), coordinates[nfe:])
        knots = softmax_knots(coordinates[:nfe], first, last)
        return velocity_table(knots, lower + torch.diag(1 - lower.sum(1)))

    return Space(torch.zeros(nfe + len(rows), dtype=torch.float64), table)


def paper(
    velocity: Meter,
    reference: Batches,
    start: SolverTable,
    settings: SearchSettings,
    *,
    journal: Journal | None = None,
) -> SearchResult:
    """Lion at a constant rate of 0.01 on 1,565 batches of 32, from Euler on the uniform grid.

    The recipe starts from its own table and searches without guidance: ``start`` gives N and the
    time range alone, ``settings`` memory and precision, and ``reference`` is meant to be an
    ``EulerStream`` of the unguided teacher.
    """
    first, last = float(start.knots[0]), float(start.knots[-1])
    descent = Descent(
        stage="paper",
        objective=paper_objective,
        optimizer=partial(Lion, lr=LEARNING_RATE),
        iterations=ITERATIONS,
        batch_size=BATCH_SIZE,
        falling=False,
        memory=settings.memory,
        scaled=settings.precision == "float16",
    )
    return descend(velocity, reference, paper_space(start.nfe, first, last), descent, journal)
