"""Which samples an evaluation draws, cut into fixed chunks: the unit of work on a cluster."""

from collections.abc import Iterator
from dataclasses import dataclass

from dss_ray.errors import UsageError, unknown
from dss_ray.models.noise import DOMAINS

CHUNK = 250  # features move by 4e-8 with the batch size, so one size serves every run
RMSE_SAMPLES = 2000  # the first of a plan, the ones that the reference is solved for


@dataclass(frozen=True)
class Chunk:
    """The samples ``first .. first + count - 1`` of a plan."""

    index: int
    first: int
    count: int


@dataclass(frozen=True)
class EvaluationPlan:
    """``count`` samples, each with a label and a noise stream of its own.

    Plans that differ only in ``count`` share their first samples, so a solver that was evaluated
    on few can go on with the rest.

    Args:
        count: number of samples, at least 2 (a covariance needs two).
        seed: any integer; another seed means other noises.
        domain: what the noises are for: search, selection or evaluation; domains share none.
        chunk: samples per chunk; figures agree to the last bit only between equal chunks.

    Raises:
        UsageError: if a number is too small or the domain is unknown.
    """

    count: int
    seed: int
    domain: str
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        if self.count < 2 or self.chunk < 1:
            raise UsageError(
                "evaluation plan: expected at least 2 samples in chunks of at least 1, "
                f"got {self.count} in chunks of {self.chunk}"
            )
        if self.domain not in DOMAINS:
            raise unknown("noise domain", self.domain, DOMAINS, where="evaluation plan")

    @property
    def rmse_samples(self) -> int:
        """How many of the first samples are compared with the reference's end states."""
        return min(self.count, RMSE_SAMPLES)

    def __len__(self) -> int:
        """The number of chunks."""
        return -(-self.count // self.chunk)

    def __getitem__(self, index: int) -> Chunk:
        """Chunk ``index`` of the plan; the last one may be shorter."""
        if not 0 <= index < len(self):
            raise IndexError(f"evaluation plan: chunk {index} of {len(self)}")
        first = index * self.chunk
        return Chunk(index, first, min(self.chunk, self.count - first))

    def __iter__(self) -> Iterator[Chunk]:
        """All chunks in order."""
        return (self[index] for index in range(len(self)))
