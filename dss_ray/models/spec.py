"""How a model is named in one line: ``NAME?key=value&key=value``."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from dss_ray.errors import UsageError, require_known

PLAIN = (
    "/:,.~ -_+@"  # beside letters and digits; other characters of a value are escaped as in URLs
)


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """The name and the keyword arguments of ``spec``; numbers, true and false become such.

    Raises:
        UsageError: if a part after the question mark is no key=value.
    """
    name, mark, rest = spec.partition("?")
    options: dict[str, Any] = {}
    for part in rest.split("&") if mark else ():
        key, equals, value = part.partition("=")
        if not (key.isidentifier() and equals) or key in options:
            raise UsageError(
                f"model '{spec}': expected NAME?key=value&key=value, each key once, found '{part}'"
            )
        options[key] = as_value(unquote(value))
    return name, options


def short(spec: str) -> str:
    """The name alone, as tables show it."""
    return spec.partition("?")[0]


def make_spec(name: str, options: Mapping[str, Any]) -> str:
    """The line that ``parse_spec`` takes apart, with the keys in their order."""
    parts = [f"{key}={quote(as_text(value), safe=PLAIN)}" for key, value in options.items()]
    return f"{name}?{'&'.join(parts)}" if parts else name


def as_value(text: str) -> bool | int | float | str:
    """A number, a truth value, or the text itself."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def as_text(value: Any) -> str:
    """What ``as_value`` reads as ``value``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_options(name: str, build: Callable[..., object], options: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that ``build`` does not take."""
    try:
        parameters = inspect.signature(build).parameters
    except (TypeError, ValueError):  # a callable of C code
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in options:
        if not parameters:
            raise UsageError(f"model '{name}' takes no options, got '{key}'")
        require_known("option", key, parameters, f"model '{name}'")
