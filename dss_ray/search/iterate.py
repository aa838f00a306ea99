"""Where a descent stands: coordinates, their average, the optimiser's moments; kept, restored."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.nn.utils import clip_grad_norm_

from dss_ray.errors import DivergedError, TableError
from dss_ray.models.meter import Meter
from dss_ray.search.space import Space
from dss_ray.solver.table import SolverTable

OptimizerOf = Callable[[list[Tensor]], torch.optim.Optimizer]
MOMENT = "moment "  # before the names of the optimiser's own tensors


class Iterate:
    """The state of a descent: all that decides how it goes on.

    Args:
        space: where it starts and what it moves in.
        optimizer: makes the optimiser of the coordinates.
        scaled: whether the loss is scaled, since gradients in float16 would round to zero.

    Attributes:
        coordinates: (P,) float64, a leaf.
        average: (P,) their exponential moving average, weights summing to one from the first step.
        losses: of the steps so far.
        seconds: wall seconds so far.
    """

    def __init__(self, space: Space, optimizer: OptimizerOf, scaled: bool) -> None:
        self.space = space
        self.coordinates = space.coordinates.detach().clone().requires_grad_()
        self.average = self.coordinates.detach()
        self.optimizer = optimizer([self.coordinates])
        # Loss and coordinates are on the CPU even where the network is not.
        self.scaler = GradScaler("cpu", enabled=scaled)
        self.losses, self.seconds = list[float](), 0.0

    @property
    def table(self) -> SolverTable:
        """The table at the coordinates, differentiable."""
        return self.table_at(self.coordinates)

    def table_at(self, coordinates: Tensor) -> SolverTable:
        """The table at ``coordinates``; a DivergedError where they make none."""
        try:
            return self.space.table(coordinates)
        except (TableError, RuntimeError) as error:  # the latter from singular systems
            what = f"parameters that make no table ({error})"
            raise diverged(what, len(self.losses)) from None

    def step(self, rate: float, clip: float | None, decay: float) -> None:
        """Move along the gradient that the coordinates hold.

        Args:
            rate: learning rate as a fraction of the optimiser's.
            clip: largest norm of the gradient; None does not clip.
            decay: of the moving average.

        Raises:
            DivergedError: if the gradient is NaN or infinite and no smaller scale can help.
        """
        self.scaler.unscale_(self.optimizer)
        gradient = self.coordinates.grad
        assert gradient is not None
        helpless = not self.scaler.is_enabled() or self.scaler.get_scale() < 1
        if helpless and not gradient.isfinite().all():
            raise diverged("a gradient that is NaN or infinite", len(self.losses) - 1)
        if clip is not None:
            clip_grad_norm_([self.coordinates], clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.optimizer.defaults["lr"] * rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # Kingma and Ba, arXiv 1412.6980, section 3: undo the pull of the average's start at zero.
        share = (1 - decay) / (1 - decay ** len(self.losses))
        self.average = self.average.lerp(self.coordinates.detach(), share)

    def tensors(self, velocity: Meter) -> dict[str, Tensor]:
        """The state, and what ``velocity`` has counted."""
        scale = self.scaler.get_scale(), self.scaler.state_dict().get("_growth_tracker", 0)
        counts = velocity.evaluations, velocity.seconds, self.seconds
        moments = self.optimizer.state[self.coordinates].items()
        return {
            "coordinates": self.coordinates.detach(),
            "average": self.average,
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "scale": torch.tensor(scale, dtype=torch.float64),
            "counts": torch.tensor(counts, dtype=torch.float64),
        } | {MOMENT + name: value for name, value in moments}

    def restore(self, tensors: dict[str, Tensor], velocity: Meter) -> None:
        """Go on from what ``tensors`` gave; ``velocity`` counts on from there."""
        with torch.no_grad():
            self.coordinates.copy_(tensors["coordinates"])
        self.average, self.losses = tensors["average"].clone(), tensors["losses"].tolist()
        scale, tracker = tensors["scale"].tolist()
        state = self.scaler.state_dict() | {"scale": scale, "_growth_tracker": int(tracker)}
        self.scaler.load_state_dict(state)
        evaluations, velocity.seconds, self.seconds = tensors["counts"].tolist()
        velocity.evaluations = int(evaluations)
        self.optimizer.state[self.coordinates] = {
            name.removeprefix(MOMENT): value.clone()
            for name, value in tensors.items()
            if name.startswith(MOMENT)
        }


def diverged(what: str, iteration: int) -> DivergedError:
    """The error for a descent that met ``what``."""
    return DivergedError(
        f"the gradient search met {what} at iteration {iteration}: "
        "lower the learning rate or start from another table"
    )
