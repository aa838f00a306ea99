"""The path of a diffusers pipeline in the frame, as the pipeline's own scheduler tells it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dss_ray.errors import FileError, UsageError
from dss_ray.export.predictions import FLOW, NOISE, V
from dss_ray.models.conventions import ddpm_path
from dss_ray.models.diffusers_folder import load_scheduler
from dss_ray.solver.table import TOLERANCE, SolverTable


@dataclass(frozen=True)
class PipelinePath:
    """How a pipeline's network is asked.

    Args:
        prediction_type: what it predicts, "flow_prediction", "epsilon" or "v_prediction".
        timesteps: frame times (N,) -> what the network is told.
        t_min: smallest frame time that it knows.
        t_max: largest such time.
    """

    prediction_type: str
    timesteps: Callable[[Tensor], Tensor]
    t_min: float
    t_max: float

    def check(self, table: SolverTable, solver: str) -> None:
        """Raise UsageError unless the table starts and asks within the times of this path."""
        first, last = float(min(table.times[0], table.knots[0])), float(table.times[-1])
        if first < self.t_min - TOLERANCE or last > self.t_max + TOLERANCE:
            raise UsageError(
                f"solver '{solver}' asks for times from {first:g} to {last:g}, but this pipeline "
                f"of '{self.prediction_type}' knows {self.t_min:g} to {self.t_max:g}; export a "
                "solver that was searched on such a model"
            )


def read_pipeline(folder: str) -> PipelinePath:
    """The path of the pipeline in ``folder``, or of the scheduler in it.

    Raises:
        UsageError: if diffusers is not installed.
        FileError: if there is no scheduler, or one of another kind of network.
    """
    scheduler = load_scheduler(folder)
    config, name = scheduler.config, type(scheduler).__name__
    prediction = FLOW if name.startswith("FlowMatch") else config.get("prediction_type")
    if prediction == FLOW and not config.get("invert_sigmas"):
        count = config.num_train_timesteps
        return PipelinePath(FLOW, lambda times: count * (1 - times), 0.0, 1.0)
    if prediction in (NOISE, V) and discrete(scheduler):
        path = ddpm_path(scheduler.alphas_cumprod)
        return PipelinePath(prediction, path.own_time, path.t_min, path.t_max)
    raise FileError(
        f"{folder}: expected the scheduler of a flow, or of a diffusion in discrete steps, none of "
        f"them without any data, with the prediction_type 'epsilon' or 'v_prediction'; found a "
        f"{name} with '{prediction}'; name the folder of such a pipeline"
    )


def discrete(scheduler: Any) -> bool:
    """Whether its network is told indices of noise levels, none of them without any data."""
    alphas = getattr(scheduler, "alphas_cumprod", None)
    continuous = scheduler.config.get("timestep_type", "discrete") != "discrete"
    return alphas is not None and bool(alphas.min() > 0) and not continuous
