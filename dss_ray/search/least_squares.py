"""Sequential least squares: each row lands on the teacher's next state, one pass, no gradient."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.models.meter import Meter
from dss_ray.search.objective import SMALLEST, Loss, parse_loss
from dss_ray.search.result import Batches, SearchResult, SearchSettings
from dss_ray.search.space import FREE
from dss_ray.solver.reference import require_finite
from dss_ray.solver.sampling import advance
from dss_ray.solver.table import SolverTable

ROUNDS = 8  # of reweighting


@torch.no_grad()
def least_squares(
    velocity: Meter, reference: Batches, start: SolverTable, settings: SearchSettings
) -> SearchResult:
    """The table with ``start``'s times and knots whose rows are least-squares solutions.

    At step i the student's own states and velocities so far are known; its row minimises the
    loss of the distance to the teacher's state at the next knot over the batch: N evaluations.
    In the whole space, which "auto" means, the row and the weight of the start state are free; in
    the others rows sum to the step width.

    Raises:
        DivergedError: if a velocity or a state is NaN or infinite.
    """
    began = time.perf_counter()
    batch = reference.batch(0, settings.enough(start.nfe))
    free = settings.space in FREE
    fit = RowFit(settings.ridge, parse_loss(settings.loss), settings.penalty, free)
    state, velocities, rows, origins, history = batch.noise, list[Tensor](), [], [], []
    for step, query in enumerate(start.times):
        velocities.append(velocity(state, query.to(state), batch.label))
        target, width = batch.at(start.knots[step + 1]), start.knots[step + 1] - start.knots[step]
        origin, row = fit(target - state, batch.noise, velocities, width)
        state = advance(state, batch.noise, velocities, origin, row)
        origins.append(origin)
        rows.append(torch.nn.functional.pad(row, (0, start.nfe - len(row))))
        history.append((step, float((state - target).square().mean().sqrt())))
    require_finite("least squares", state)
    table = SolverTable(
        times=start.times,
        start=1 + torch.stack(origins).cumsum(0),
        weights=torch.stack(rows).cumsum(0),
        knots=start.knots,
        free=free,
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
        free: whether the row's sum and the weight of the start state are free.
    """

    ridge: float
    loss: Loss
    penalty: float
    free: bool

    def __call__(
        self, gap: Tensor, origin: Tensor, velocities: list[Tensor], width: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What best bridges ``gap``: a weight of ``origin``, and those of the velocities.

        They are counted from an Euler step, towards which the ridge pulls; it is relative to the
        diagonal, so that it means the same at every step and for every model. Where the sum is
        tied, older velocities are measured against the newest.

        Returns:
            A scalar and (len(velocities),), float64.
        """
        parts = torch.stack([part.double().flatten() for part in (origin, *velocities)])
        euler, moves = torch.zeros(len(parts)).double(), torch.eye(len(parts)).double()
        euler[-1] = width
        if not self.free:
            moves = (moves - moves[-1:])[1:-1]
        residual, basis = gap.double().flatten() - width * parts[-1], moves.to(parts) @ parts
        require_finite("least squares", residual)
        weight, found = torch.ones_like(residual), euler
        for turn in range(ROUNDS + 1 if self.loss != Loss() or self.penalty else 1):
            pull = self.penalty / 2 / found[1:].abs().clamp(min=SMALLEST) * bool(turn)
            pulled = residual.numel() * pull * moves[:, 1:]
            step = self.solved(basis, residual, weight, pulled @ moves[:, 1:].T, pulled @ euler[1:])
            found, weight = (
                euler + step @ moves,
                self.loss.weight(residual - step.to(basis) @ basis),
            )
        return found[0], found[1:]

    def solved(
        self, basis: Tensor, residual: Tensor, weight: Tensor, pull: Tensor, pulled: Tensor
    ) -> Tensor:
        """The step (P,) along ``basis`` (P, D) under given weights of the elements (D,).

        The penalty adds ``pull`` (P, P) to the normal equations and takes ``pulled`` (P,) from
        their right side.
        """
        gram, moment = ((weight * basis) @ basis.T).cpu(), ((weight * basis) @ residual).cpu()
        gram = gram + self.ridge * torch.diag(gram.diagonal()) + pull
        step: Tensor = torch.linalg.pinv(gram, hermitian=True) @ (moment - pulled)  # tiny: CPU
        return step
