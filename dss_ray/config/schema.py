"""The JSON schema of a space file, by which editors complete and check it."""

from __future__ import annotations

import re
from typing import Any

from dss_ray.config.model_options import OPTIONS
from dss_ray.config.space import KEYS
from dss_ray.config.sweep import SweepSettings
from dss_ray.search.result import SearchSettings

TYPES = {int: "integer", float: "number", str: "string"}
ARGUMENT = re.compile(r"^ {8}(\w+): (.*?)(?=^ {8}\w|^$)", re.MULTILINE | re.DOTALL)
OWN = {
    "nfe": "network queries of a solver",
    "guidance": "scale of classifier-free guidance",
    "method": "search methods, chained by +",
    "grid": "starting grid of times; auto tries several",
    "start": "classical solver to start from",
    "search_model": "model to search on; the one that judges if left out",
}


def space_schema() -> dict[str, Any]:
    """The schema of a space file."""
    schema = SweepSettings.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A search space of dss_ray"
    schema["required"].remove("name")  # the file's own name
    schema["properties"][OPTIONS] = {
        "description": "Options of the models by name, such as path.",
        "type": "object",
        "additionalProperties": {"type": "object"},
    }
    said = {name: " ".join(text.split()) for name, text in ARGUMENT.findall(described())} | OWN
    schema["properties"]["search"] |= {
        "properties": {name: dimension(TYPES[kind], said[name]) for name, kind in KEYS.items()},
        "required": ["nfe"],
        "additionalProperties": False,
    }
    return schema


def described() -> str:
    """The docstring of the search settings."""
    return SearchSettings.__doc__ or ""


def dimension(kind: str, description: str) -> dict[str, Any]:
    """What a key of ``search`` may hold: a value, choices, or a range of numbers."""
    when = {"type": "object", "description": "matters only where these keys have these values"}
    choices = {"type": "array", "items": {"type": kind}, "minItems": 1}
    choice = {
        "type": "object",
        "properties": {"choice": choices, "when": when},
        "required": ["choice"],
        "additionalProperties": False,
    }
    ends = {"type": "array", "items": {"type": kind}, "minItems": 2, "maxItems": 2}
    ranged = {
        "type": "object",
        "properties": {
            "range": ends,
            "log": {"type": "boolean"},
            "step": {"type": "number"},
            "when": when,
        },
        "required": ["range"],
        "additionalProperties": False,
    }
    forms = [{"type": kind}, choice, *([] if kind == "string" else [ranged])]
    return {"description": description, "anyOf": forms}
