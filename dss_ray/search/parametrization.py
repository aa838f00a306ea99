"""The paper's parametrisation: softmax times, strictly lower coefficients, rows that sum to one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dss_ray.errors import TableError
from dss_ray.solver.forms import velocity_table
from dss_ray.solver.table import SolverTable


@dataclass(frozen=True, eq=False)
class Parametrization:
    """Free numbers that always make a valid table (Differentiable Solver Search, section 4).

    Args:
        logits: (N,) float64, the time increments' softmax logits.
        lower: (N, N) float64, of which the strictly lower part weighs earlier velocities; the
            newest velocity's weight is one minus the row's sum.
        mask: (N, N) bool, the coefficients that may differ from zero.
        first: the first knot.
        last: the last knot.
    """

    logits: Tensor
    lower: Tensor
    mask: Tensor
    first: float
    last: float

    @classmethod
    def of(cls, table: SolverTable) -> Parametrization:
        """The parameters of ``table``, which must query at its knots, each later than the last.

        Raises:
            TableError: if it does not, or is free.
        """
        widths = table.knots.diff()
        if table.free or (widths <= 0).any() or not torch.equal(table.times, table.knots[:-1]):
            raise TableError(
                "the search cannot start from this table: its knots must increase strictly and be "
                "its query times, and its rows sum to the time passed; start from another one, "
                "such as ab2"
            )
        rows = torch.cat([table.weights[:1], table.weights.diff(dim=0)]) / widths[:, None]
        mask = torch.ones_like(rows, dtype=torch.bool).tril(-1)
        ends = float(table.knots[0]), float(table.knots[-1])
        return cls(widths.log(), rows.tril(-1), mask, *ends)

    @property
    def parameters(self) -> list[Tensor]:
        """What an optimiser moves."""
        return [self.logits, self.lower]

    def table(self) -> SolverTable:
        """The table; gradients flow to the parameters, and the ends are exact."""
        progress = self.logits.softmax(0).cumsum(0)[:-1].clamp(max=1)
        inner = self.first + (self.last - self.first) * progress
        ends = self.logits.new_tensor([[self.first], [self.last]])
        knots = torch.cat([ends[0], inner.clamp(max=self.last), ends[1]])
        lower = self.lower * self.mask
        return velocity_table(knots, lower + torch.diag(1 - lower.sum(1)))
