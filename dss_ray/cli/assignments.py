"""Settings given as KEY=VALUE."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dss_ray.errors import UsageError, unknown

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
    from dss_ray.search.result import SearchSettings


def assignment(text: str, example: str = "evaluation.samples=500") -> tuple[str, Any]:
    """Key and value of ``KEY=VALUE``; the value is YAML."""
    import yaml

    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--set: expected KEY=VALUE such as {example}, got '{text}'")
    try:
        return key, yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UsageError(f"--set {key}: expected a YAML value, got '{value}'") from None


def overridden(assignments: Iterable[str] | None, **options: Any) -> dict[str, Any]:
    """What replaces a space's own values: what ``--set`` says, and the options that are given."""
    given = {key: value for key, value in options.items() if value is not None}
    return dict(map(assignment, assignments or [])) | given


def search_settings(assignments: Iterable[str], seed: int, samples: int | None) -> "SearchSettings":
    """The settings of one search: the options, and what ``--set`` says."""
    from dss_ray.config.space import SETTINGS, scalar
    from dss_ray.search.result import SearchSettings

    given = dict(assignment(text, "space=whole") for text in assignments)
    for key in given:
        if key not in SETTINGS:
            raise unknown("setting", key, SETTINGS, "--set")
    chosen = {key: scalar(SETTINGS[key], value, f"--set {key}") for key, value in given.items()}
    options: dict[str, Any] = {"seed": seed} | ({"samples": samples} if samples else {})
    return SearchSettings(**options | chosen)
