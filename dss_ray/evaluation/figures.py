"""Figures over several seeds, under names that say what they were measured with."""

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dss_ray.errors import UsageError
from dss_ray.evaluation.tally import EvaluationResult
from dss_ray.models.inception import INCEPTION  # the one whose distance is plainly called FID

METRICS = ("fid", "rmse", "precision", "recall", "sfid", "inception_score")
SPELLED = {"fid": "FID", "sfid": "sFID"}


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
    """The metrics of ``METRICS`` over results that differ in their seed alone.

    A metric that was not measured is left out.

    Raises:
        UsageError: if there are none, or they differ in samples, extractor, reference or metrics.
    """
    columns = {name: [getattr(one, name) for one in results] for name in METRICS}
    kinds = {(one.samples, one.features, one.reference) for one in results}
    mixed = any(None in values and values != [None] * len(values) for values in columns.values())
    if len(kinds) != 1 or mixed:
        raise UsageError(
            "figures: expected results of equal samples, extractor and reference, got "
            f"{sorted(map(str, kinds))}; distances of different counts cannot be compared"
        )
    return {name: Figure.of(values) for name, values in columns.items() if None not in values}


def need_extractor(metrics: Collection[str]) -> bool:
    """Whether one of ``metrics`` looks at images through an extractor: all but rmse do."""
    return not set(METRICS).difference({"rmse"}).isdisjoint(metrics)


def need_vectors(metrics: Collection[str]) -> bool:
    """Whether one of ``metrics`` needs every sample's features, not only their statistics."""
    return not {"precision", "recall"}.isdisjoint(metrics)


def metric_name(metric: str, features: str | None) -> str:
    """What people read: plain FID is Inception's alone, others carry their extractor."""
    name = SPELLED.get(metric, metric)
    return name if metric == "rmse" or features == INCEPTION else f"{name}[{features}]"
