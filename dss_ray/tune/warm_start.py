"""Points of earlier sweeps that are worth a try in this one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dss_ray.config.space import Dimension, Value
from dss_ray.records.leaderboard import best_of_each
from dss_ray.records.rows import Row
from dss_ray.tune.study import default


def warm_points(
    space: Sequence[Dimension], rows: Iterable[Row], model: str
) -> list[dict[str, Value]]:
    """The best searched point of each step count of an earlier sweep, where it lies in ``space``.

    Keys that the earlier sweep did not vary, and values that this space does not have, take the
    default; the step count has to be this space's.

    Args:
        space: of the new sweep.
        rows: of earlier ones.
        model: whose rows count, if there are any; else those of all models.
    """
    searched = [row for row in rows if row.searched and row.status == "done"]
    own = [row for row in searched if row.model == model]
    found = list[dict[str, Value]]()
    for row in best_of_each(own or searched):
        known = row.params | {"nfe": row.nfe, "guidance": row.guidance}
        values = dict[str, Value]()
        for dimension in space:
            if dimension.active(values):
                value = known.get(dimension.name)
                values[dimension.name] = value if holds(dimension, value) else default(dimension)  # type: ignore[assignment]
        if values["nfe"] == row.nfe and values not in found:
            found.append(values)
    return found


def holds(dimension: Dimension, value: object) -> bool:
    """Whether a dimension can take the value."""
    if dimension.choices:
        return value in dimension.choices
    if not isinstance(value, int | float) or not dimension.low <= value <= dimension.high:
        return False
    steps = (value - dimension.low) / dimension.step if dimension.step else 0.0
    return abs(steps - round(steps)) < 1e-9
