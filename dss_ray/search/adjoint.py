"""The loop with a backward pass that keeps no activations: each query runs once more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dss_ray.models.meter import Meter
from dss_ray.search.result import Batch
from dss_ray.solver.sampling import advance, differences
from dss_ray.solver.table import SolverTable


def lean_steps(velocity: Meter, table: SolverTable, batch: Batch) -> Tensor:
    """The states (N, B, *sample_shape) after each step of ``table``, differentiable in the table.

    Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174) with a query as the segment:
    between the passes the states and velocities are kept alone, in two blocks, so that memory
    hardly grows with N and does not go to pieces. The second calls are counted, the derivatives
    themselves are not.
    """
    states: Tensor = LeanSteps.apply(velocity, table, batch, table.times, *differences(table))  # type: ignore[no-untyped-call]
    return states


class LeanSteps(torch.autograd.Function):
    """See ``lean_steps``."""

    @staticmethod
    def forward(
        ctx: Any, velocity: Meter, table: SolverTable, batch: Batch, *numbers: Tensor
    ) -> Tensor:
        """Step the table; ``numbers`` are those that the backward pass differentiates by."""
        noise = batch.noise
        states = noise.new_empty(table.nfe + 1, *noise.shape)
        velocities = torch.empty_like(states[1:])
        states[0] = noise
        start, rows = differences(table)  # not by ``steps``, whose states would split the memory
        for i, time in enumerate(table.times.to(noise)):
            velocities[i] = velocity(states[i], time, batch.label)
            met = velocities[: i + 1].unbind()
            states[i + 1] = advance(states[i], noise, met, start[i], rows[i])
        ctx.velocity, ctx.label = velocity, batch.label
        ctx.save_for_backward(states, velocities, *numbers)
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """From the gradients of the states (N, B, ...) those of times, start weights and rows."""
        states, velocities, times, start, rows = ctx.saved_tensors
        of_state, of_velocities = torch.zeros_like(states[0]), torch.zeros_like(velocities)
        of_times, of_start, of_rows = (torch.zeros_like(part) for part in (times, start, rows))
        for i in reversed(range(len(times))):
            # x_{i+1} = x_i + start_i x_0 + sum_{j <= i} rows_ij v_j, with v_i = velocity(x_i, t_i)
            of_state.add_(upstream[i])
            of_start[i] = (of_state * states[0]).sum()
            for j, weight in enumerate(rows[i, : i + 1].tolist()):
                of_rows[i, j] = (of_state * velocities[j]).sum()
                of_velocities[j].add_(of_state, alpha=weight)
            moved, of_times[i] = query_gradient(
                ctx.velocity, states[i], times[i], ctx.label, of_velocities[i]
            )
            of_state.add_(moved)
            del moved  # else it splits the memory that the next query takes
        return None, None, None, of_times, of_start, of_rows


def query_gradient(
    velocity: Meter, x: Tensor, t: Tensor, label: Tensor | None, upstream: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of <upstream, velocity(x, t)> by x and t; the call is counted."""
    velocity.evaluations += velocity.evaluations_per_query * len(x)
    with torch.enable_grad():
        state, time = x.detach().requires_grad_(), t.detach().to(x).requires_grad_()
        value = velocity.velocity(state, time, label)  # timed by whoever times the backward pass
        if not value.requires_grad:
            return torch.zeros_like(x), torch.zeros_like(t)
        of_state, of_time = torch.autograd.grad(
            value, (state, time), upstream, materialize_grads=True
        )
    return of_state, of_time
