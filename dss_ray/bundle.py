"""A found solver with all that is needed to use it and to find it again, as one JSON file."""

import json
import os
import platform
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import from_json

from dss_ray.errors import FileError
from dss_ray.solver.table import SolverTable

SCHEMA_VERSION: Final = 1
NUMBERS = {"type": "array", "items": {"type": "number"}}
TABLE_SCHEMA = {
    "type": "object",
    "description": "x_{i+1} = start[i] x_0 + sum_{j <= i} weights[i][j] velocity(x_j, times[j])",
    "properties": {
        "times": NUMBERS,
        "start": NUMBERS,
        "weights": {"type": "array", "items": NUMBERS},
        "knots": NUMBERS,
        "free": {"type": "boolean"},
    },
    "required": ["times", "start", "weights", "knots", "free"],
    "additionalProperties": False,
}


def as_table(value: object) -> object:
    """A table from its JSON form; anything else passes on to pydantic's own check."""
    return SolverTable.from_json(value) if isinstance(value, dict) else value


Table = Annotated[
    SolverTable,
    BeforeValidator(as_table),
    PlainSerializer(SolverTable.to_json),
    WithJsonSchema(TABLE_SCHEMA),
]
Settings = dict[str, JsonValue]


class Record(BaseModel):
    """A frozen value that knows its fields and takes no others."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )


class SearchProvenance(Record):
    """How a table was found, and at what cost: per-sample network evaluations and wall seconds.

    The reference's cost, which many searches share, stands beside that of the search.
    """

    method: str
    grid: str
    start: str
    seed: int
    samples: NonNegativeInt
    settings: Settings
    evaluations: NonNegativeInt
    seconds: NonNegativeFloat
    reference_evaluations: NonNegativeInt
    reference_seconds: NonNegativeFloat
    history: dict[str, tuple[tuple[int, float], ...]] = Field(
        description="per stage of the method, (iteration, loss) in the units of its objective"
    )


class Bundle(Record):
    """A solver table, the guidance it was made for, and where it comes from.

    Args:
        name: what leaderboards call it.
        table: the solver.
        guidance: one scale, or one for each of the N steps.
        model: name of the model that it was searched on.
        model_fingerprint: hex digest of that model's weights.
        search: how it was found; None for classical and published tables.
        metrics: figures by name, such as ``rmse`` and ``FID[digits-cnn]``.
        versions: of the software that made it.
        created: when, in UTC.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    table: Table
    guidance: float | tuple[float, ...]
    model: str
    model_fingerprint: str
    search: SearchProvenance | None
    metrics: Settings
    versions: dict[str, str]
    created: AwareDatetime

    @field_validator("metrics")
    @classmethod
    def finite_metrics(cls, metrics: Settings) -> Settings:
        """NaN and infinity are no JSON."""
        json.dumps(metrics, allow_nan=False)
        return metrics

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


def save_bundle(bundle: Bundle, path: Path) -> None:
    """Write ``bundle`` as of ``write_bundle`` where a user wants it.

    Raises:
        FileError: if the folder cannot be written.
    """
    try:
        write_bundle(bundle, path)
    except OSError as error:
        reason = error.strerror or error
        raise FileError(
            f"{path}: cannot write the bundle ({reason}); choose another place"
        ) from None


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write ``bundle`` so that ``path`` holds the whole of it or what was there before.

    Raises:
        OSError: if the folder cannot be written.
    """
    text = json.dumps(bundle.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def load_bundle(path: Path) -> Bundle:
    """The bundle at ``path``, with the same float64 numbers that were saved.

    Raises:
        FileError: if the file is missing, no bundle, of a newer schema, or holds an invalid table.
    """
    try:
        text = path.read_bytes()
        document = from_json(text, allow_inf_nan=False)
    except OSError as error:
        raise FileError(f"{path}: cannot read the bundle ({error.strerror})") from None
    except ValueError as error:
        raise FileError(f"{path}: expected a solver bundle, this is no JSON ({error})") from None
    if not isinstance(document, dict) or "schema_version" not in document:
        raise FileError(
            f"{path}: expected a solver bundle, this JSON has no schema_version; "
            "`dss-ray export --format bundle` writes one"
        )
    version = document["schema_version"]
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise FileError(
            f"{path}: bundle schema {version} is newer than {SCHEMA_VERSION}, "
            "which this dss_ray reads; update dss_ray"
        )
    try:
        return Bundle.model_validate_json(text)
    except ValidationError as error:
        raise FileError(
            f"{path}: invalid bundle, {first_problem(error)}; export it again"
        ) from None


def first_problem(error: ValidationError) -> str:
    """Where the first problem lies, what it is, and how many others there are."""
    problem, *others = error.errors(include_url=False, include_input=False)
    place = ".".join(str(part) for part in problem["loc"]) or "bundle"
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}{more}"


def json_schema() -> dict[str, Any]:
    """The JSON schema of a bundle file."""
    return Bundle.model_json_schema(mode="serialization")
