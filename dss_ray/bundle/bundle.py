"""The bundle: a solver table with its conventions, its figures and where it comes from."""

import platform
from functools import cache
from importlib import metadata
from typing import Any, Final, Literal

from pydantic import AwareDatetime, Field, model_validator

from dss_ray.bundle.conventions import Conventions
from dss_ray.bundle.parts import Measured, Record, SearchProvenance, SweepProvenance, Table

SCHEMA_VERSION: Final = 2
HASH: Final = "content_hash"  # of a file, beside the fields of the bundle
HASH_SCHEMA = {
    "type": "string",
    "pattern": "^sha256:[0-9a-f]{64}$",
    "description": (
        "SHA-256 of this document without this field, as JSON in ASCII with sorted keys and "
        "without spaces; a file with another one was changed since it was written"
    ),
}


class Bundle(Record):
    """A solver table, the guidance it was made for, and where it comes from.

    Args:
        name: what leaderboards call it.
        table: the solver.
        guidance: one scale, or one for each of the N steps.
        model: name of the model that it was searched on.
        model_fingerprint: hex digest of that model's weights.
        conventions: what the numbers mean.
        search: how it was found; None for classical and published tables.
        sweep: the trial that it comes from; None where it was searched alone.
        metrics: figures by name, such as ``rmse`` and ``FID[digits-cnn]``.
        versions: of the software that made it.
        created: when, in UTC.
        edited: whether it was changed by hand since; its provenance then only tells of its origin.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    name: str
    table: Table
    guidance: float | tuple[float, ...]
    model: str
    model_fingerprint: str
    conventions: Conventions = Conventions()
    search: SearchProvenance | None
    sweep: SweepProvenance | None = None
    metrics: dict[str, Measured]
    versions: dict[str, str]
    created: AwareDatetime = Field(description="in UTC")
    edited: bool = Field(default=False, description="whether it was changed by hand since")

    @model_validator(mode="after")
    def one_scale_per_step(self) -> "Bundle":
        """A list of guidance scales has one for each query."""
        if isinstance(self.guidance, tuple) and len(self.guidance) != self.table.nfe:
            raise ValueError(
                f"expected one guidance scale or {self.table.nfe}, got {len(self.guidance)}"
            )
        return self


@cache
def software_versions() -> dict[str, str]:
    """The versions of Python and of the installed packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("dss_ray", "torch", "numpy", "ray", "optuna"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def json_schema() -> dict[str, Any]:
    """The JSON schema of a bundle file, which has a hash beside the fields of a bundle."""
    schema = Bundle.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A solver bundle of dss_ray"
    schema["properties"][HASH] = HASH_SCHEMA
    schema["required"] = [*schema["required"], HASH]
    return schema
