"""What a chain of searches aims at: the teacher's trajectories, and what they took."""

from dss_ray.models.teacher import Teacher
from dss_ray.search.result import Progress
from dss_ray.solver.convergence import TOLERANCE
from dss_ray.solver.reference import Reference

FINER = 0.1  # of a student's error: how exact the teacher has to be
STEPS = 4  # of the teacher for each of the student's, at least
# A student's relative error as it can be expected before any is known is this over the square of
# its queries: least squares on digits-sit at guidance 2 ends with 0.05 at five and 0.015 at ten.
EXPECTED = 1.5


def first_tolerance(nfe: int) -> float:
    """The teacher's relative error that suits a student of ``nfe`` queries yet unknown."""
    return max(TOLERANCE, FINER * EXPECTED / nfe**2)


class Target:
    """The teacher's trajectories that a search aims at, as exact as the student needs.

    Attributes:
        reference: the trajectories that the last stage aimed at; None before the first.
        samples: the most that any stage has aimed at.
        solved: wall seconds of each block that this search needed, by (index, steps).
    """

    def __init__(self, teacher: Teacher, progress: Progress | None) -> None:
        self.teacher, self.progress = teacher, progress
        self.reference: Reference | None = None
        self.samples = 0
        self.solved = dict[tuple[int, int], float]()

    def trajectories(self, samples: int) -> Reference:
        """Those of the first ``samples`` noises, from the cache, or else solved."""
        blocks = self.teacher.blocks(samples, self.progress)
        self.solved |= {place: entry.seconds for place, entry in blocks.items()}
        self.samples = max(self.samples, samples)
        self.reference = self.teacher.joined(blocks, samples)
        return self.reference

    def refine(self, error: float) -> None:
        """Make the teacher finer where its error is not far below ``error``, a student's rmse."""
        assert self.reference is not None
        size = float(self.reference.end.square().mean().sqrt())
        finer = self.teacher.refined(FINER * error / size)
        if finer.tolerance < self.teacher.error:
            self.teacher = finer

    def cost(self) -> tuple[int, float]:
        """Network evaluations and wall seconds of all that had to be solved, each block once."""
        return self.teacher.evaluations(self.solved), sum(self.solved.values())
