"""Figures over several seeds, under names that say what they were measured with."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dss_ray.errors import UsageError
from dss_ray.evaluation.evaluate import EvaluationResult

INCEPTION = "inception"  # the one extractor whose distance is plainly called FID


@dataclass(frozen=True)
class Figure:
    """One metric over evaluation seeds.

    Args:
        mean: over the seeds.
        spread: standard deviation over the seeds (ddof 1); None for one seed.
        values: one per seed, in their order.
    """

    mean: float
    spread: float | None
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """The figure of ``values``, at least one."""
        spread = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), spread, tuple(values))


def figures(results: Sequence[EvaluationResult]) -> dict[str, Figure]:
    """The metrics ``fid`` and ``rmse`` over results that differ in their seed alone.

    A metric that was not measured is left out.

    Raises:
        UsageError: if there are none, or they differ in samples, extractor, reference or metrics.
    """
    kinds = {(one.samples, one.features, one.reference, one.rmse is None) for one in results}
    if len(kinds) != 1:
        raise UsageError(
            "figures: expected results of equal samples, extractor and reference, got "
            f"{sorted(map(str, kinds))}; distances of different counts cannot be compared"
        )
    columns = {"fid": [one.fid for one in results], "rmse": [one.rmse for one in results]}
    known = {name: [v for v in values if v is not None] for name, values in columns.items()}
    return {
        name: Figure.of(values) for name, values in known.items() if len(values) == len(results)
    }


def fid_name(features: str) -> str:
    """What a Frechet distance is called: FID is Inception's alone, others name their extractor."""
    return "FID" if features == INCEPTION else f"FID[{features}]"
