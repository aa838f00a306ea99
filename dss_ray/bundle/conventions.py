"""The frame of a table in words that a reader of the JSON needs, and the searched model's own."""

from typing import Any, Literal, cast

from pydantic import Field, PositiveFloat

from dss_ray.bundle.parts import Record
from dss_ray.models.protocol import VelocityModel
from dss_ray.solver.table import SolverTable

LINEAR = "linear"  # the path of the frame itself


class ModelConventions(Record):
    """What the model that a table was made for needs beside the frame."""

    prediction: Literal["velocity", "data", "noise"] = Field(description="of its network")
    path: str = Field(description="of its network: linear, vp, ddpm or edm with their constants")
    t_min: float = Field(description="least time at which it may be queried")
    t_max: float = Field(description="largest time at which it may be queried")
    noise_scale: PositiveFloat = Field(description="x_0 is that times standard normal noise")
    data_scale: PositiveFloat = Field(description="the data are that times x_N")
    guided_channels: int | None = Field(description="the first so many; None: all")


class Conventions(Record):
    """What the numbers of a table mean; all but ``model`` is the same in every bundle."""

    time: Literal["0 is noise, 1 is data"] = "0 is noise, 1 is data"
    state: Literal["x_t = t * data + (1 - t) * noise"] = "x_t = t * data + (1 - t) * noise"
    velocity: Literal["dx/dt = data - noise"] = "dx/dt = data - noise"
    step: Literal[
        "x_{i+1} = start[i] * x_0 + sum_{j <= i} weights[i][j] * velocity(x_j, times[j])"
    ] = "x_{i+1} = start[i] * x_0 + sum_{j <= i} weights[i][j] * velocity(x_j, times[j])"
    guidance: Literal["velocity_null + guidance * (velocity_label - velocity_null)"] = (
        "velocity_null + guidance * (velocity_label - velocity_null)"
    )
    model: ModelConventions | None = None


def conventions_of(model: VelocityModel, table: SolverTable) -> Conventions:
    """The conventions of ``table`` on ``model``, whose optional attributes count."""
    path = getattr(model, "path", None)
    own = ModelConventions(
        prediction=getattr(model, "prediction", "velocity"),
        path=str(getattr(path, "name", LINEAR)),
        t_min=model.t_min,
        t_max=model.t_max,
        noise_scale=scale(model, "noise_scale", float(table.knots[0])),
        data_scale=scale(model, "data_scale", float(table.knots[-1])),
        guided_channels=getattr(model, "guided_channels", None),
    )
    return Conventions(model=own)


def scale(model: VelocityModel, name: str, time: float) -> float:
    """The scale of that name at ``time``, 1 where the model has none."""
    return float(cast(Any, getattr(model, name, None) or (lambda _: 1.0))(time))
