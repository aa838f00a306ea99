"""Space files: YAML read into the settings of a sweep and checked whole before anything runs."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dss_ray.config.checks import check_names
from dss_ray.config.model_options import Absent, absent_files, paths, with_options
from dss_ray.config.sweep import SweepSettings
from dss_ray.errors import FileError, UsageError, unknown
from dss_ray.solver.classical import CLASSICAL


def space_names() -> list[str]:
    """The search spaces that ship with the package."""
    folder = resources.files("dss_ray.search_spaces")
    return sorted(Path(item.name).stem for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_sweep(source: str, overrides: dict[str, Any] | None = None) -> SweepSettings:
    """The settings of a YAML file, or of a shipped space named without ``.yaml``.

    Args:
        source: path or name.
        overrides: dotted keys and the values that replace the file's.

    Raises:
        UsageError: that names file, place, what was found, what is possible and the nearest match.
    """
    settings, absent = plan_sweep(source, overrides)
    if absent:
        found = ", ".join(f"{key} is {path}" for key, path in absent)
        raise FileError(
            f"{source}: files that are not there: {found}; set them with --set KEY=PATH"
        )
    return settings


def plan_sweep(
    source: str, overrides: dict[str, Any] | None = None
) -> tuple[SweepSettings, list[Absent]]:
    """The settings as of ``load_sweep``, checked but for files that are not there, and those."""
    document = read_document(source, overrides or {})
    try:
        settings = SweepSettings.model_validate(with_options(document))
        absent = absent_files(document)
        check_names(settings, load=not absent)
    except ValidationError as error:
        raise describe(error, source) from None
    except UsageError as error:
        raise type(error)(f"{source}: {error}") from None
    return settings, absent


def named_files(source: str, overrides: dict[str, Any] | None = None) -> list[str]:
    """The files and folders that a valid space names, there or not."""
    document = read_document(source, overrides or {})
    start = document["search"].get("start", "ab2")
    starts = start["choice"] if isinstance(start, dict) else [start]
    bundles = [name for name in starts if name not in CLASSICAL]
    return [path for _, path in paths(document)] + bundles


def read_document(source: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """The mapping in a file or a shipped space, with some keys replaced."""
    text, stem = read_space(source)
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date like 2024-99-99 too
        raise FileError(f"{source}: no valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(document, dict):
        raise FileError(f"{source}: expected a mapping of settings, got {type(document).__name__}")
    document.setdefault("name", stem)
    for key, value in overrides.items():
        override(document, key, value, source)
    return document


def read_space(source: str) -> tuple[str, str]:
    """The text and the stem of a file or a shipped space."""
    path = Path(source)
    if path.suffix in (".yaml", ".yml") or path.exists():
        try:
            return path.read_text(), path.stem
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(f"{source}: cannot be read as a search space ({error})") from None
    if source not in space_names():
        raise unknown("search space", source, space_names())
    return resources.files("dss_ray.search_spaces").joinpath(f"{source}.yaml").read_text(), source


def override(document: dict[str, Any], key: str, value: Any, source: str) -> None:
    """Set the dotted ``key`` of ``document``; the last part may be new, the way to it not."""
    *way, last = key.split(".")
    place: Any = document
    for part in way:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise UsageError(f"{source}: cannot set '{key}': '{part}' is no mapping")
    place[last] = value


def describe(error: ValidationError, source: str) -> UsageError:
    """One complaint of pydantic as a sentence: a misspelt key before the one that it leaves out."""
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    *way, last = first["loc"]
    place = ".".join(map(str, [source, *way]))
    if first["type"] != "extra_forbidden":
        found = "nothing" if first["type"] == "missing" else repr(first["input"])
        return UsageError(f"{place}: {last}: {first['msg'].lower()}, got {found}")
    model: Any = SweepSettings
    for part in way:
        model = model.model_fields[part].annotation
    return unknown("key", last, model.model_fields, place)
