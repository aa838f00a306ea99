"""What a chain of searches aims at: the teacher's trajectories, and what they took."""

from dss_ray.models.teacher import Teacher
from dss_ray.search.result import Progress

FINER = 0.05  # of least squares' error: how exact the teacher of later stages has to be
STEPS = 4  # of the teacher for each of the student's, at least


class Target:
    """The teacher's trajectories that a search aims at, as exact as the student needs.

    Attributes:
        reference: the trajectories.
        solved: wall seconds of each block that this search needed, by (index, steps).
    """

    def __init__(self, teacher: Teacher, samples: int, progress: Progress | None) -> None:
        self.teacher, self.samples, self.progress = teacher, samples, progress
        self.solved = dict[tuple[int, int], float]()
        self.solve()

    def solve(self) -> None:
        """Take the trajectories from the cache, or solve them."""
        blocks = self.teacher.blocks(self.samples, self.progress)
        self.reference = self.teacher.joined(blocks, self.samples)
        self.solved |= {place: entry.seconds for place, entry in blocks.items()}

    def refine(self, error: float) -> None:
        """Make the teacher finer where its error is not far below ``error``, a student's rmse."""
        size = float(self.reference.end.square().mean().sqrt())
        finer = self.teacher.refined(FINER * error / size)
        if finer.tolerance < self.teacher.error:
            self.teacher = finer
            self.solve()

    def cost(self) -> tuple[int, float]:
        """Network evaluations and wall seconds of all that had to be solved, each block once."""
        return self.teacher.evaluations(self.solved), sum(self.solved.values())
