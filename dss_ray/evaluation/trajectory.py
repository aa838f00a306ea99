"""How far a solver strays from the converged trajectory on its way, not only at its end."""

from collections.abc import Sequence

import torch

from dss_ray.solver.reference import Reference
from dss_ray.solver.sampling import Velocity, steps
from dss_ray.solver.table import SolverTable


@torch.no_grad()
def errors_along(
    velocity: Velocity | Sequence[Velocity], table: SolverTable, reference: Reference
) -> tuple[float, ...]:
    """The error of each state that ``table`` passes through, started where the reference starts.

    Args:
        velocity: one for all queries, or one for each.
        table: the solver, whose knots lie within the reference's times.
        reference: converged trajectories of the same velocity.

    Returns:
        N + 1 root mean square differences per element of the state, one at each knot; the first is
        0, the last is the rmse of the end states.
    """
    states = [reference.noise]
    states += [state for _, state in steps(velocity, table, reference.noise, reference.label)]
    return tuple(
        float((state - reference.at(knot)).double().square().mean().sqrt())
        for state, knot in zip(states, table.knots, strict=True)
    )
