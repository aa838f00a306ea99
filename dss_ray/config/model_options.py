"""The options of the models that a space file names, and which of their files are not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dss_ray.errors import UsageError
from dss_ray.models.spec import make_spec, parse_spec

OPTIONS = "model_options"


class Absent(NamedTuple):
    """A file or folder that a space names and that does not exist."""

    key: str
    path: str


def with_options(document: dict[str, Any]) -> dict[str, Any]:
    """``document`` with the options of each model behind its name, NAME?key=value, everywhere.

    Raises:
        UsageError: if the options are no mappings, or belong to a model that is not named.
    """
    options = document.get(OPTIONS, {})
    if not isinstance(options, dict) or not all(isinstance(v, dict) for v in options.values()):
        raise UsageError(f"{OPTIONS}: expected a mapping of models to mappings, got {options!r}")
    unused = set(options)

    def spec(value: Any) -> Any:
        unused.discard(value)
        found = options.get(value) if isinstance(value, str) else None
        return make_spec(value, found) if found else value

    def specs(values: Any) -> Any:
        return [spec(value) for value in values] if isinstance(values, list) else spec(values)

    made = {key: value for key, value in document.items() if key != OPTIONS}
    if "models" in made:
        made["models"] = specs(made["models"])
    search = made.get("search")
    if isinstance(search, dict) and "search_model" in search:
        wanted = search["search_model"]
        if isinstance(wanted, dict) and "choice" in wanted:
            wanted = wanted | {"choice": specs(wanted["choice"])}
        else:
            wanted = spec(wanted)
        made["search"] = search | {"search_model": wanted}
    if unused:
        raise UsageError(
            f"{OPTIONS}: {', '.join(sorted(map(str, unused)))} is named neither in models nor in "
            "search.search_model; remove or correct it"
        )
    return made


def absent_files(document: dict[str, Any]) -> list[Absent]:
    """The paths, values with a slash, of model options and of the evaluation that do not exist."""
    return [Absent(key, path) for key, path in paths(document) if not Path(path).exists()]


def paths(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Dotted key and value of all that looks like a path."""
    for model, options in document.get(OPTIONS, {}).items():
        for key, value in options.items():
            if isinstance(value, str) and "/" in value:
                yield f"{OPTIONS}.{model}.{key}", value
    models = document.get("models")
    for model in models if isinstance(models, list) else ():
        for value in parse_spec(model)[1].values() if isinstance(model, str) else ():
            if isinstance(value, str) and "/" in value:
                yield "models", value
    evaluation = document.get("evaluation")
    if not isinstance(evaluation, dict):
        return
    if isinstance(statistics := evaluation.get("statistics"), str):
        yield "evaluation.statistics", statistics
    if isinstance(features := evaluation.get("features"), str):
        for value in parse_spec(features)[1].values():
            if isinstance(value, str) and "/" in value:
                yield "evaluation.features", value
