"""Sequential least squares: each row lands on the teacher's next state, one pass, no gradient."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.models.meter import Meter
from dss_ray.search.objective import SMALLEST, Loss, parse_loss
from dss_ray.search.result import Batches, SearchResult, SearchSettings
from dss_ray.solver.reference import require_finite
from dss_ray.solver.sampling import advance
from dss_ray.solver.table import SolverTable

ROUNDS = 8  # of reweighting


@torch.no_grad()
def least_squares(
    velocity: Meter, reference: Batches, start: SolverTable, settings: SearchSettings
) -> SearchResult:
    """The table on ``start``'s knots whose rows are least-squares solutions, in N evaluations.

    At step i the student's own states and velocities so far are known; its row minimises the
    loss of the distance to the teacher's state at the next knot over the batch. Rows sum to the
    step width.

    Raises:
        DivergedError: if a velocity or a state is NaN or infinite.
    """
    began = time.perf_counter()
    batch = reference.batch(0, settings.samples)
    fit = RowFit(settings.ridge, parse_loss(settings.loss), settings.penalty)
    state, velocities, rows, history = batch.noise, list[Tensor](), list[Tensor](), []
    for step, query in enumerate(start.knots[:-1]):
        velocities.append(velocity(state, query.to(state), batch.label))
        target, width = batch.at(start.knots[step + 1]), start.knots[step + 1] - query
        row = fit(target - state, velocities, width)
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


@dataclass(frozen=True)
class RowFit:
    """What a row minimises: the mean loss of its gap and a penalty on its weights' sizes.

    Losses other than squares, and the penalty, are met by solving again with new weights.

    Args:
        ridge: added to the normal equations' diagonal, as a fraction of it.
        loss: of each element.
        penalty: weight of the row's part of ``error_bound``.
    """

    ridge: float
    loss: Loss
    penalty: float

    def __call__(self, gap: Tensor, velocities: list[Tensor], width: Tensor) -> Tensor:
        """Weights (len(velocities),) float64 that sum to ``width`` and best bridge ``gap``.

        The sum is eliminated by measuring every velocity against the newest; the ridge is relative
        to the diagonal, so that it means the same at every step and for every model.
        """
        newest = velocities[-1].double()
        residual = (gap.double() - width * newest).flatten()
        require_finite("least squares", residual)
        if len(velocities) == 1:
            return width[None]
        basis = torch.stack([(older.double() - newest).flatten() for older in velocities[:-1]])
        row = self.solved(basis, residual, torch.ones_like(residual), width)
        for _ in range(ROUNDS if self.loss != Loss() or self.penalty else 0):
            weight = self.loss.weight(residual - row[:-1].to(basis) @ basis)
            row = self.solved(basis, residual, weight, width, row)
        return row

    def solved(
        self,
        basis: Tensor,
        residual: Tensor,
        weight: Tensor,
        width: Tensor,
        before: Tensor | None = None,
    ) -> Tensor:
        """The row under given weights of the elements; ``before`` gives those of the penalty."""
        gram, moment = ((weight * basis) @ basis.T).cpu(), ((weight * basis) @ residual).cpu()
        gram = gram + self.ridge * torch.diag(gram.diagonal())
        if before is not None and self.penalty:
            pull = residual.numel() * self.penalty / 2 / before.abs().clamp(min=SMALLEST)
            gram = gram + torch.diag(pull[:-1]) + pull[-1]
            moment = moment + pull[-1] * width
        older = torch.linalg.pinv(gram, hermitian=True) @ moment  # tiny, so on the CPU
        return torch.cat([older, (width - older.sum())[None]])
