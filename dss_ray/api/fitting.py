"""What a solver asks of the model that it is used on."""

from __future__ import annotations

from dss_ray.bundle import Bundle
from dss_ray.errors import UsageError
from dss_ray.models.guidance import GuidedModel, guide_steps
from dss_ray.models.protocol import VelocityModel
from dss_ray.solver.table import TOLERANCE, SolverTable

DOMAIN = "evaluation"  # of the noises on which solvers are measured and drawn


def guide_by(solver: Bundle, model: VelocityModel) -> tuple[GuidedModel, ...]:
    """``model`` for each query under the guidance that ``solver`` was made for."""
    first, last = float(solver.table.times[0]), float(solver.table.times[-1])
    if first < model.t_min - TOLERANCE or last > model.t_max + TOLERANCE:
        raise UsageError(
            f"solver '{solver.name}' asks for times from {first:g} to {last:g}, but {model.name} "
            f"knows {model.t_min:g} to {model.t_max:g}; take another solver"
        )
    return guide_steps(model, solver.guidance, solver.table.nfe)


def span(table: SolverTable) -> tuple[float, float]:
    """The first and the last knot."""
    return float(table.knots[0]), float(table.knots[-1])
