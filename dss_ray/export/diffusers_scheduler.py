"""A scheduler of diffusers that steps a solver table.

Each step takes the pipeline's state and its network's output to the frame, advances there as the
package's own loop does, and goes back.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.schedulers.scheduling_utils import SchedulerOutput
from torch import Tensor

from dss_ray.errors import UsageError, require_known
from dss_ray.export.predictions import (
    FLOW,
    PREDICTIONS,
    noise_levels,
    state_scales,
    velocity_factors,
)
from dss_ray.solver.sampling import advance, differences, plus
from dss_ray.solver.table import SolverTable, as_tensor

SETTINGS = ("table", "prediction_type", "timesteps", "solver", "model", "guidance")
CARRIED = not __name__.startswith("dss_ray.")  # it lies beside a config, with what it imports here


class TableScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """Steps a table in a pipeline of diffusers: its N steps, at times of its own.

    Args:
        table: the JSON form of a ``SolverTable``.
        prediction_type: what the network predicts, "flow_prediction", "epsilon" or "v_prediction".
        timesteps: (N,), what the network is told at the table's query times.
        solver: name of the table.
        model: name of the model that it was found on.
        guidance: the scale that it was made for, or one per step; the pipeline's caller sets it.

    Attributes:
        timesteps: (N,) float32, on the device of ``set_timesteps``.
        sigmas: (N + 1,) float32, the noise levels at the table's knots.
        init_noise_sigma: what pipelines multiply standard normal noise with.

    Raises:
        UsageError: a ValueError, if the settings are no valid table of such a network.
    """

    order = 1
    init_noise_sigma = 1.0

    def __init__(
        self,
        *,
        table: dict[str, Any],
        prediction_type: str,
        timesteps: list[float],
        solver: str,
        model: str,
        guidance: float | list[float],
    ) -> None:
        require_known("prediction_type", prediction_type, PREDICTIONS, "TableScheduler")
        self.register_to_config(
            table=table,
            prediction_type=prediction_type,
            timesteps=timesteps,
            solver=solver,
            model=model,
            guidance=guidance,
        )
        self.table, self.own_times = SolverTable.from_json(table), as_tensor("timesteps", timesteps)
        times, knots = self.table.times, self.table.knots
        if self.own_times.shape != times.shape or (prediction_type != FLOW and not times[0] > 0):
            raise UsageError(
                f"TableScheduler: expected {len(times)} timesteps and, of a diffusion, query times "
                f"above 0, got timesteps {timesteps} and times {times.tolist()}; export the solver "
                "again"
            )
        start, rows = differences(self.table)
        factors, state_weights = velocity_factors(prediction_type, times)
        self.state_weights: list[float] = state_weights.tolist()
        self.increments = list(zip(start.unbind(), (rows * factors).unbind(), strict=True))
        at_knots, at_times = (state_scales(prediction_type, points) for points in (knots, times))
        self.scales: list[float] = at_knots.tolist()
        self.input_scales: list[float] = (at_times / at_knots[:-1]).tolist()
        self.sigmas = noise_levels(prediction_type, knots).float()
        self.set_timesteps()

    @classmethod
    def from_config(
        cls, config: dict[str, Any], return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any:
        """The scheduler of a config, which must be a table's: nothing has a default.

        Raises:
            UsageError: if it is another scheduler's.
        """
        if missing := [name for name in SETTINGS if name not in {**config, **kwargs}]:
            raise UsageError(
                "TableScheduler: expected the config of an exported solver, found that of "
                f"{config.get('_class_name', 'another scheduler')} without {', '.join(missing)}; "
                "use from_pretrained with the folder that `dss-ray export` wrote"
            )
        return super().from_config(config, return_unused_kwargs, **kwargs)

    def save_config(
        self, save_directory: str | PathLike[str], push_to_hub: bool = False, **kwargs: Any
    ) -> None:
        """Write the config, and this module beside it if it lay beside one."""
        if CARRIED:
            own, folder = Path(__file__), Path(save_directory)
            text = own.read_bytes()
            folder.mkdir(parents=True, exist_ok=True)
            (folder / own.name).write_bytes(text)
        super().save_config(save_directory, push_to_hub, **kwargs)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        timesteps: Any = None,
        sigmas: Any = None,
        mu: float | None = None,  # noqa: ARG002
    ) -> None:
        """Begin a new trajectory.

        Args:
            num_inference_steps: N, or None.
            device: where ``timesteps`` go.
            timesteps: the table's own, or None.
            sigmas: the table's own, or the even ones from 1 to 1/N that Flux passes to any
                scheduler, or None.
            mu: a shift of such sigmas, which leaves the table's alone.

        Raises:
            UsageError: for another number of steps, or other times.
        """
        nfe, own = self.table.nfe, self.own_times.float()
        levels = torch.linspace(1, 1 / nfe, nfe), self.sigmas[:-1], self.sigmas
        if num_inference_steps not in (None, nfe):
            raise self.refusal(f"num_inference_steps={num_inference_steps}")
        if timesteps is not None and not same(timesteps, own):
            raise self.refusal(f"{len(timesteps)} timesteps")
        if sigmas is not None and not any(same(sigmas, known) for known in levels):
            raise self.refusal(f"{len(sigmas)} sigmas")
        self.timesteps, self.step_index = own.to(device), 0
        self.origin: Tensor | None = None
        self.velocities: list[Tensor] = []  # without the factors that ``increments`` hold
        self.model_input: Tensor | None = None

    def refusal(self, found: str) -> UsageError:
        """The error for other steps than the table's."""
        nfe = self.table.nfe
        return UsageError(
            f"TableScheduler: '{self.config.solver}' makes {nfe} steps at times of its own, got "
            f"{found}; call the pipeline with num_inference_steps={nfe} and no other times"
        )

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Accept that a pipeline starts at the first step.

        Raises:
            UsageError: if it starts later, as image-to-image does.
        """
        if begin_index != 0:
            raise UsageError(
                f"TableScheduler: got a start at step {begin_index}, but each step of a table "
                "needs the velocities of all before; take another scheduler for image-to-image"
            )

    def current(self) -> int:
        """The index of the step to be made.

        Raises:
            UsageError: if all are done.
        """
        if self.step_index == self.table.nfe:
            raise UsageError(
                f"TableScheduler: all {self.table.nfe} steps are done; begin anew by set_timesteps"
            )
        return self.step_index

    def scale_model_input(self, sample: Tensor, timestep: object = None) -> Tensor:  # noqa: ARG002
        """The state as the network takes it: at the query's time where that is not the knot's."""
        self.model_input = scaled(sample, self.input_scales[self.current()])
        return self.model_input

    def step(
        self,
        model_output: Tensor,
        timestep: object,  # noqa: ARG002 - steps are counted, since times may repeat
        sample: Tensor,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Tensor, ...]:
        """The state (B, ...) at the next knot, as ``sample``, computed in float32 at least.

        Args:
            model_output: (B, ...), what the network predicts.
            timestep: not looked at.
            sample: (B, ...), the state, before or after ``scale_model_input``.
            return_dict: whether to return a ``SchedulerOutput``, else a tuple.

        Raises:
            UsageError: if all steps are done, or ``scale_model_input`` was needed.
        """
        index = self.current()
        wide = torch.promote_types(sample.dtype, torch.float32)
        state = scaled(sample.to(wide), 1 / self.sample_scale(index, sample))
        weight = self.state_weights[index]
        output = model_output.to(wide, copy=weight == 0)  # a compiled network writes there again
        self.velocities.append(plus(output, weight, state))
        self.origin = state if self.origin is None else self.origin
        state = advance(state, self.origin, self.velocities, *self.increments[index])
        state = scaled(state, self.scales[index + 1]).to(sample.dtype)
        self.step_index, self.model_input = index + 1, None
        if self.step_index == self.table.nfe:
            self.origin, self.velocities = None, []  # as much memory as N states
        if return_dict:
            return SchedulerOutput(prev_sample=state)
        # of a single step PixArt's pipeline takes the second, the predicted data
        return (state,) if self.table.nfe > 1 else (state, state)

    def sample_scale(self, index: int, sample: Tensor) -> float:
        """What ``sample`` is over the frame's state; DiT's pipeline steps from the scaled one."""
        factor = self.input_scales[index]
        if factor != 1 and self.model_input is None:
            raise UsageError(
                "TableScheduler: this table asks between its knots, so the network must be given "
                "scale_model_input(latents, timestep), which this pipeline does not call"
            )
        return self.scales[index] * (factor if sample is self.model_input else 1)


def scaled(tensor: Tensor, factor: float) -> Tensor:
    """The tensor times a factor; times 1 it is the tensor itself."""
    return tensor if factor == 1 else factor * tensor


def same(given: Any, own: Tensor) -> bool:
    """Whether a list, array or tensor holds the numbers of ``own``."""
    found = torch.as_tensor(given, dtype=torch.float32, device="cpu")
    return found.shape == own.shape and torch.allclose(found, own, rtol=1e-5, atol=1e-6)


if CARRIED:
    TableScheduler.__module__ = Path(__file__).stem  # what pipelines note, wherever it came from
