"""Which dimensions of a space its figures depend on, as Optuna counts it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from dss_ray.config.space import Dimension
from dss_ray.records.rows import Row
from dss_ray.tune.study import default
from dss_ray.tune.warm_start import holds

if TYPE_CHECKING:  # Optuna takes a second to import, which --help must not pay
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

FEWEST = 15  # trials that the shares rest on
TREES = 32
Point = tuple[Row, float]


def importances(rows: Iterable[Row], space: Sequence[Dimension]) -> dict[str, dict[str, float]]:
    """Per figure the share of each swept dimension in its differences at equal step count.

    It is the share of the variance of the figure's logarithm, less its mean over the trials with
    as many steps, that a dimension alone explains (fANOVA, Hutter et al. 2014). Distances are those
    on the most samples that all trials share. A dimension that does not matter in a trial, since
    its condition does not hold, counts there as its default.

    Args:
        rows: of one model.
        space: of the sweep.

    Returns:
        Shares that sum to one, the largest first, for "fid" and "rmse"; a figure is left out
        where it has fewer than ``FEWEST`` trials or never differs.
    """
    done = [row for row in rows if row.searched and row.status == "done"]
    swept = [one for one in space if one.swept and one.name != "nfe"]
    figures = {"fid": distances(done), "rmse": [(row, row.rmse or 0.0) for row in done]}
    centred = {name: differences(points) for name, points in figures.items()}
    return {
        name: shares(points, swept)
        for name, points in centred.items()
        if swept and len(points) >= FEWEST and len({round(value, 9) for _, value in points}) > 1
    }


def distances(rows: Sequence[Row]) -> list[Point]:
    """Each row with its distance on the most samples on which all of them were judged."""
    counts = set.intersection(*(set(row.fid_by_samples) for row in rows)) if rows else None
    return [(row, row.fid_by_samples[max(counts)]) for row in rows] if counts else []


def differences(points: Sequence[Point]) -> list[Point]:
    """The logarithms of positive figures, less their mean at each step count."""
    groups: dict[int, list[Point]] = {}
    for row, value in points:
        if value > 0:
            groups.setdefault(row.nfe, []).append((row, math.log(value)))
    means = {nfe: fmean(value for _, value in group) for nfe, group in groups.items()}
    return [(row, value - means[row.nfe]) for group in groups.values() for row, value in group]


def shares(points: Sequence[Point], swept: Sequence[Dimension]) -> dict[str, float]:
    """The importance of each dimension, in a study made of the rows."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    study.add_trials([as_trial(row, value, swept) for row, value in points])
    forest = FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    found = get_param_importances(study, evaluator=forest)
    return {name: float(share) for name, share in found.items()}


def as_trial(row: Row, value: float, swept: Sequence[Dimension]) -> FrozenTrial:
    """A row as a trial of Optuna."""
    from optuna.trial import create_trial

    values = {one: row.params.get(one.name) for one in swept}
    params = {one.name: v if holds(one, v) else default(one) for one, v in values.items()}
    known = {one.name: distribution(one) for one in swept}
    return create_trial(params=params, distributions=known, value=value)


def distribution(dimension: Dimension) -> BaseDistribution:
    """What Optuna draws a dimension from."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    low, high, step, log = dimension.low, dimension.high, dimension.step, dimension.log
    if dimension.kind is int:
        return IntDistribution(int(low), int(high), log, int(step or 1))
    return FloatDistribution(low, high, log, step)
