"""Sequential least squares: each row lands on the teacher's next state, one pass, no gradient."""

import time

import torch
from torch import Tensor

from dss_ray.models.meter import Meter
from dss_ray.search.result import Batches, SearchResult, SearchSettings
from dss_ray.solver.reference import require_finite
from dss_ray.solver.sampling import advance
from dss_ray.solver.table import SolverTable


@torch.no_grad()
def least_squares(
    velocity: Meter, reference: Batches, start: SolverTable, settings: SearchSettings
) -> SearchResult:
    """The table on ``start``'s knots whose rows are least-squares solutions, in N evaluations.

    At step i the student's own states and velocities so far are known; its row minimises the
    distance to the teacher's state at the next knot over the batch. Rows sum to the step width.

    Raises:
        DivergedError: if a velocity or a state is NaN or infinite.
    """
    began = time.perf_counter()
    batch = reference.batch(0, settings.samples)
    state, velocities, rows, history = batch.noise, list[Tensor](), list[Tensor](), []
    for step, query in enumerate(start.knots[:-1]):
        velocities.append(velocity(state, query.to(state), batch.label))
        target, width = batch.at(start.knots[step + 1]), start.knots[step + 1] - query
        row = solve_row(target - state, velocities, width, settings.ridge)
        state = advance(state, batch.noise, velocities, torch.zeros(()).double(), row)
        rows.append(torch.nn.functional.pad(row, (0, start.nfe - len(row))))
        history.append((step, float((state - target).square().mean().sqrt())))
    require_finite("least squares", state)
    table = SolverTable(
        times=start.knots[:-1],
        start=torch.ones_like(start.start),
        weights=torch.stack(rows).cumsum(0),
        knots=start.knots,
    )
    seconds = time.perf_counter() - began
    return SearchResult(table, history, velocity.evaluations, seconds, velocity.seconds)


def solve_row(gap: Tensor, velocities: list[Tensor], width: Tensor, ridge: float) -> Tensor:
    """Weights (len(velocities),) float64 that sum to ``width`` and best bridge ``gap``.

    The sum is eliminated by measuring every velocity against the newest; the ridge is relative to
    the diagonal, so that it means the same at every step and for every model.
    """
    newest = velocities[-1].double()
    residual = (gap.double() - width * newest).flatten()
    require_finite("least squares", residual)
    if len(velocities) == 1:
        return width[None]
    basis = torch.stack([(older.double() - newest).flatten() for older in velocities[:-1]])
    gram = basis @ basis.T
    gram = gram + ridge * torch.diag(gram.diagonal())
    older = torch.linalg.pinv(gram.cpu(), hermitian=True) @ (basis @ residual).cpu()  # tiny
    return torch.cat([older, (width - older.sum())[None]])
