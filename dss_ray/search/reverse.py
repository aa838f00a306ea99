"""The Jacobian of a solver's residuals in reverse mode, for models without forward mode."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dss_ray.models.meter import BACKWARD, Meter
from dss_ray.search.objective import Objective
from dss_ray.search.result import Batch
from dss_ray.search.tangents import Directions, derivatives
from dss_ray.solver.sampling import differences
from dss_ray.solver.table import SolverTable

PROBES = 64  # backward passes; more residuals than these are mixed with random signs


def reverse_jacobian(
    velocity: Meter,
    table: SolverTable,
    along: Directions,
    batch: Batch,
    objective: Objective,
    *,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Residuals (B, E) and derivatives (K, B, E), one backward pass for each of the E columns.

    Both are multiplied by the root of each residual's weight. Every sample has its own copy of the
    table's numbers, so that one pass yields the derivatives of all samples apart. Of more than 64
    residuals 64 random mixtures are taken, drawn from ``generator``, whose expected mean square is
    theirs.
    """
    start, rows = differences(table)
    leaves = [
        part.detach().to(batch.noise)[..., None].expand(*part.shape, len(batch.noise)).clone()
        for part in (table.times, start, rows)
    ]
    with torch.enable_grad():
        knots, *leaves = (leaf.requires_grad_() for leaf in (table.knots.detach().clone(), *leaves))
        states = own_steps(velocity, leaves, batch)
        residual = objective.residual(states, batch, knots)
        root = objective.loss.weight(residual).sqrt()
        mixing = mixture(residual, generator)  # (B, R, E)
        mixed = torch.einsum("br,bre->be", root * residual, mixing)
        columns = []
        for column in mixed.sum(0):
            with velocity.timed():
                slopes = torch.autograd.grad(
                    column, leaves, retain_graph=True, materialize_grads=True
                )
            columns.append(contracted(slopes, along))
        (moves,) = torch.autograd.grad(residual.sum(), knots, allow_unused=True)
    passes = mixed.shape[1] * table.nfe * len(batch.noise)
    velocity.evaluations += BACKWARD * velocity.evaluations_per_query * passes
    jacobian = torch.stack(columns, -1)
    if moves is not None:
        targets = root * target_slopes(states, table, along, batch, objective)
        jacobian = jacobian + torch.einsum("kbr,bre->kbe", targets, mixing)
    return mixed.detach(), jacobian


def own_steps(velocity: Meter, leaves: list[Tensor], batch: Batch) -> list[Tensor]:
    """The states after each step, every sample stepping with its own numbers (..., B)."""
    times, start, rows = leaves
    column = (-1,) + (1,) * (batch.noise.ndim - 1)
    state, velocities, states = batch.noise, list[Tensor](), list[Tensor]()
    for i, time in enumerate(times):
        velocities.append(velocity(state, time, batch.label))
        state = state + start[i].view(column) * batch.noise
        for weight, value in zip(rows[i], velocities, strict=False):
            state = state + weight.view(column) * value
        states.append(state)
    return states


def mixture(residual: Tensor, generator: torch.Generator) -> Tensor:
    """For each sample the identity (R, R), or random signs (R, PROBES) over the root of R."""
    size, count = residual.shape
    if count <= PROBES:
        return torch.eye(count).to(residual).expand(size, count, count)
    signs = torch.randint(2, (size, count, PROBES), generator=generator) * 2 - 1
    mixed: Tensor = signs.to(residual) / count**0.5
    return mixed


def contracted(slopes: Sequence[Tensor], along: Directions) -> Tensor:
    """Derivatives (K, B) along the directions from those in the table's numbers (..., B)."""
    moved = [part.to(slopes[0]) for part in (along.times, along.start, along.rows)]
    terms: list[Tensor] = [
        part.flatten(0, -2).T @ slope.flatten(0, -2)
        for part, slope in zip(moved, slopes, strict=True)
    ]
    total: Tensor = sum(terms[1:], terms[0])
    return total


def target_slopes(
    states: list[Tensor],
    table: SolverTable,
    along: Directions,
    batch: Batch,
    objective: Objective,
) -> Tensor:
    """What moving knots do to the residuals (K, B, R) through the targets, the states held."""
    still = [state.detach() for state in states]

    def residual(knots: Tensor) -> Tensor:
        return objective.residual(still, batch, knots)

    return derivatives(residual, (table.knots.detach(),), (along.knots.T,), len(along.basis))[1]
