"""What a bundle is made of: its table, how it was found, and its figures."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PlainSerializer,
    PositiveInt,
    WithJsonSchema,
)

from dss_ray.evaluation.figures import Figure
from dss_ray.solver.table import SolverTable

NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": 1}
TABLE_SCHEMA = {
    "type": "object",
    "description": "x_{i+1} = start[i] x_0 + sum_{j <= i} weights[i][j] velocity(x_j, times[j])",
    "properties": {
        "times": NUMBERS | {"description": "(N,) query times"},
        "start": NUMBERS | {"description": "(N,) weights of the start state"},
        "weights": {
            "type": "array",
            "items": NUMBERS,
            "minItems": 1,
            "description": "(N, N) lower triangular, weights of the velocities met so far",
        },
        "knots": NUMBERS | {"description": "(N + 1,) times at which the states are meant to lie"},
        "free": {
            "type": "boolean",
            "description": "false: start is 1 and rows of weights sum to the time passed",
        },
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
        json_schema_serialization_defaults_required=True,
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


class SweepProvenance(Record):
    """The trial of a sweep that a solver comes from."""

    name: str = Field(description="of the sweep")
    id: str | None = Field(description="tells it from other sweeps of that name")
    model: str = Field(description="that the trial was judged on")
    trial: int | None = Field(description="number of the trial in its study")
    key: str = Field(description="hash of all that determines the trial's result")
    mlflow_run: str | None = Field(description="id of the trial's run, where the tracker knows it")


class Measured(Record):
    """One metric over seeds: its mean, the standard deviation (ddof 1) and a value per seed.

    Figures on the selection domain chose the solver among others, so they flatter it; those on the
    evaluation domain did not.
    """

    mean: float
    spread: float | None = Field(description="None for a single seed")
    values: tuple[float, ...] = Field(min_length=1)
    samples: PositiveInt | None = Field(description="per seed")
    seeds: tuple[int, ...] | None = Field(description="of the noises, one for each value")
    domain: Literal["selection", "evaluation"] | None = Field(description="of the noises")

    @classmethod
    def of(
        cls,
        values: Sequence[float],
        *,
        samples: int | None = None,
        seeds: Sequence[int] | None = None,
        domain: Literal["selection", "evaluation"] | None = None,
    ) -> "Measured":
        """The figure of ``values``, at least one; what is not known of them is None."""
        figure = Figure.of(values)
        return cls(
            mean=figure.mean,
            spread=figure.spread,
            values=figure.values,
            samples=samples,
            seeds=None if seeds is None else tuple(seeds),
            domain=domain,
        )
