"""The search space of a sweep: each key fixed, a choice or a range, some only under a condition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from graphlib import CycleError, TopologicalSorter
from typing import Any

from dss_ray.errors import UsageError, unknown
from dss_ray.search.result import SearchSettings

Value = int | float | str
TYPES = {"int": int, "float": float, "str": str}
SETTINGS: dict[str, type] = {
    field.name: TYPES[str(getattr(field.type, "__name__", field.type)).removesuffix(" | None")]
    for field in fields(SearchSettings)
}
KEYS: dict[str, type] = {
    "nfe": int,
    "guidance": float,
    "method": str,
    "grid": str,
    "start": str,
    "search_model": str,
} | SETTINGS
OPTIONS = ("choice", "range", "log", "step", "when")
CONTINUOUS = 3  # points of a range of floats without a step, where some are needed
ENUMERATED = 100_000  # points of a finite space that are listed at most


@dataclass(frozen=True)
class Dimension:
    """One key of the space.

    Args:
        name: the key.
        choices: the values it may take; one value is a constant; empty for a range.
        low: lower end of a range, included.
        high: upper end of a range, included.
        log: whether the range is searched on a logarithmic scale.
        step: spacing of the range's values; None for all of them.
        when: other keys and the values they must have for this one to matter.
    """

    name: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    when: tuple[tuple[str, tuple[Value, ...]], ...] = ()

    @property
    def swept(self) -> bool:
        """Whether it can take more than one value."""
        return len(self.choices) != 1

    @property
    def kind(self) -> type:
        """int, float or str."""
        return KEYS[self.name]

    def active(self, values: dict[str, Value]) -> bool:
        """Whether its condition holds among the values chosen before it."""
        return all(values.get(key) in allowed for key, allowed in self.when)


def parse_space(document: Any, where: str) -> tuple[Dimension, ...]:
    """The dimensions of a mapping, those that others depend on first.

    Raises:
        UsageError: that names the place, what was found and what is possible.
    """
    if not isinstance(document, dict) or "nfe" not in document:
        raise UsageError(f"{where}: expected a mapping of keys with at least nfe, got {document!r}")
    dimensions = [parse_dimension(name, value, where) for name, value in document.items()]
    known = {dimension.name for dimension in dimensions}
    for dimension in dimensions:
        for key, _ in dimension.when:
            if key not in known:
                raise unknown("key", key, known, f"{where}.{dimension.name}.when")
    return ordered(dimensions, where)


def ordered(dimensions: Sequence[Dimension], where: str) -> tuple[Dimension, ...]:
    """Each dimension after those that its condition names, else in the given order."""
    named = {dimension.name: dimension for dimension in dimensions}
    if named["nfe"].when:
        raise UsageError(f"{where}.nfe: takes no condition, every search needs it")
    graph = {name: [key for key, _ in dimension.when] for name, dimension in named.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " -> ".join(map(str, error.args[1]))
        raise UsageError(f"{where}: the conditions go round in a circle, {circle}") from None
    depth = {name: order.index(name) if named[name].when else -1 for name in named}
    return tuple(sorted(dimensions, key=lambda dimension: depth[dimension.name]))


def parse_dimension(name: str, value: Any, where: str) -> Dimension:
    """One key: a scalar, {choice: [...]}, or {range: [lo, hi], log, step}, perhaps with when."""
    if name not in KEYS:
        raise unknown("key", name, KEYS, where)
    place = f"{where}.{name}"
    if not isinstance(value, dict):
        return Dimension(name, (scalar(KEYS[name], value, place),))
    for option in value:
        if option not in OPTIONS:
            raise unknown("option", option, OPTIONS, place)
    if ("choice" in value) == ("range" in value):
        raise UsageError(f"{place}: expected either choice or range, got {sorted(value)}")
    when = parse_when(value.get("when", {}), place)
    if "choice" in value:
        if not isinstance(value["choice"], list) or not value["choice"]:
            raise UsageError(f"{place}.choice: expected a list of values, got {value['choice']!r}")
        choices = tuple(scalar(KEYS[name], item, f"{place}.choice") for item in value["choice"])
        return Dimension(name, tuple(dict.fromkeys(choices)), when=when)
    return parse_range(name, value, when, place)


def parse_range(name: str, value: dict[str, Any], when: Any, place: str) -> Dimension:
    """A range of numbers, its ends included."""
    ends, kind = value["range"], KEYS[name]
    if kind is str or not isinstance(ends, list) or len(ends) != 2:
        raise UsageError(f"{place}.range: expected [low, high] of a number, got {ends!r}")
    low, high = (scalar(kind, end, f"{place}.range") for end in ends)
    log, step = value.get("log", False), value.get("step")
    if not isinstance(log, bool) or not float(low) < float(high) or (log and float(low) <= 0):
        raise UsageError(
            f"{place}.range: expected low < high (above 0 where log is true), "
            f"got {ends!r} and log {log!r}"
        )
    if step is not None and (log or float(scalar(kind, step, f"{place}.step")) <= 0):
        raise UsageError(f"{place}.step: expected a positive number and no log, got {step!r}")
    return Dimension(name, (), float(low), float(high), log, step, when)


def parse_when(condition: Any, place: str) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    """The condition {key: value or list of values} as nested tuples."""
    if not isinstance(condition, dict):
        raise UsageError(f"{place}.when: expected a mapping such as {{method: gradient}}")
    for key in condition:
        if key not in KEYS:
            raise unknown("key", key, KEYS, f"{place}.when")
    lists = {k: v if isinstance(v, list) else [v] for k, v in condition.items()}
    return tuple(
        (k, tuple(scalar(KEYS[k], item, f"{place}.when.{k}") for item in v))
        for k, v in lists.items()
    )


def scalar(kind: type, value: Any, place: str) -> Value:
    """``value`` as int, float or str; YAML's true is no number, and 3 is a fine float.

    So is the text 1e-3, which YAML 1.1 takes for a number only as 1.0e-3.
    """
    if kind is float and isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    good = isinstance(value, (int, float) if kind is float else kind) and not isinstance(
        value, bool
    )
    if not good:
        raise UsageError(f"{place}: expected {kind.__name__}, got {value!r}")
    if kind is not str and not math.isfinite(value):
        raise UsageError(f"{place}: expected a finite number, got {value}")
    converted: Value = kind(value)
    return converted


def finite_points(space: Sequence[Dimension]) -> list[dict[str, Value]]:
    """All points of a finite space, each once; none of an infinite or a huge one."""
    if math.prod(len(dimension.choices) for dimension in space) > ENUMERATED:
        return []
    found = dict[tuple[tuple[str, Value], ...], dict[str, Value]]()
    for point in itertools.product(*(dimension.choices for dimension in space)):
        values = dict[str, Value]()
        for dimension, value in zip(space, point, strict=True):
            if dimension.active(values):
                values[dimension.name] = value
        found[tuple(values.items())] = values
    return list(found.values())


def points(dimension: Dimension, most: int | None = None) -> list[float]:
    """The values of a numeric dimension: its choices, or those of a range, ``most`` at the most."""
    if dimension.choices:
        return [float(choice) for choice in dimension.choices]
    step = dimension.step or (1.0 if dimension.kind is int else None)
    if step is None:
        step = (dimension.high - dimension.low) / ((most or CONTINUOUS) - 1)
    count = int((dimension.high - dimension.low) / step + 1e-9) + 1
    values = [dimension.low + step * index for index in range(count)]
    return values if most is None else values[:: -(-count // most)]
