"""Classical solvers by name: each a function from knots to a table."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from dss_ray.errors import UsageError, unknown
from dss_ray.solver.adams import adams_table, uniform_adams_table
from dss_ray.solver.dpm_solver import dpmpp2m_table, dpmpp3m_table, released_dpmpp3m_table
from dss_ray.solver.exponential import deis_table, ipndm_table
from dss_ray.solver.heun import heun_table
from dss_ray.solver.table import SolverTable
from dss_ray.solver.unipc import unipc_table

CLASSICAL: dict[str, Callable[[Tensor], SolverTable]] = {
    "euler": partial(adams_table, order=1),
    "ddim": partial(adams_table, order=1),  # DDIM is Euler in this frame, see test_textbook
    "heun": heun_table,
    "ab1": partial(adams_table, order=1),
    "ab2": partial(adams_table, order=2),
    "ab3": partial(adams_table, order=3),
    "ab4": partial(adams_table, order=4),
    "ab2-uniform": partial(uniform_adams_table, order=2),
    "ab3-uniform": partial(uniform_adams_table, order=3),
    "ab4-uniform": partial(uniform_adams_table, order=4),
    "dpmpp2m": dpmpp2m_table,
    "dpmpp3m": dpmpp3m_table,
    "dpmpp3m-released": released_dpmpp3m_table,
    "ipndm": partial(ipndm_table, order=4),
    "ipndm2": partial(ipndm_table, order=2),
    "ipndm3": partial(ipndm_table, order=3),
    "deis2": partial(deis_table, order=2),
    "deis3": partial(deis_table, order=3),
    "unipc2": partial(unipc_table, order=2),
    "unipc3": partial(unipc_table, order=3),
}
SAME_AS_EULER = ("ddim", "ab1")


def classical_table(name: str, knots: Tensor) -> SolverTable:
    """Table of the classical solver ``name`` on ``knots`` (N + 1,), N queries.

    Raises:
        UsageError: if the name is unknown, or the method cannot use that number of queries.
    """
    if name in ("unipc2-bh1", "unipc3-bh1"):
        raise UsageError(f"{name}: bh1 diverges at t = 0; use {name[:6]}, which is bh2")
    if name not in CLASSICAL:
        raise unknown("classical solver", name, CLASSICAL)
    return CLASSICAL[name](knots)


def baseline_names(nfe: int) -> list[str]:
    """Names of the classical solvers that can use ``nfe`` queries, Euler once only."""
    return usable([name for name in CLASSICAL if name not in SAME_AS_EULER], nfe)


def usable(names: Sequence[str], nfe: int) -> list[str]:
    """Those of ``names`` that can use ``nfe`` queries."""
    return [name for name in names if name != "heun" or nfe % 2 == 0]


def baseline_tables(knots: Tensor, names: Sequence[str] | None = None) -> dict[str, SolverTable]:
    """Classical tables by name that differ from each other on ``knots`` (N + 1,).

    Few steps leave no history for the higher orders, and on equal steps variable coefficients are
    the constant ones: of equal tables the first name is kept.

    Args:
        knots: of all tables.
        names: in this order; all of ``baseline_names`` if left out.
    """
    tables: dict[str, SolverTable] = {}
    nfe = len(knots) - 1
    for name in baseline_names(nfe) if names is None else usable(names, nfe):
        table = classical_table(name, knots)
        if not any(same_solver(table, other) for other in tables.values()):
            tables[name] = table
    return tables


def same_solver(one: SolverTable, other: SolverTable) -> bool:
    """Whether two tables make the same queries and take the same steps, up to rounding."""
    return all(
        torch.allclose(getattr(one, field), getattr(other, field), rtol=0, atol=1e-10)
        for field in ("times", "start", "weights")
    )
