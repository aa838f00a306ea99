"""Solvers by name or from a file, as bundles."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from dss_ray.bundle import Bundle, load_bundle, software_versions
from dss_ray.errors import UsageError, unknown
from dss_ray.models.protocol import VelocityModel
from dss_ray.solver.classical import CLASSICAL, classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.published import published_names, published_table
from dss_ray.solver.table import SolverTable

log = logging.getLogger(__name__)


def load_solver(
    source: str | Path,
    nfe: int | None = None,
    grid: str = "uniform",
    guidance: float | tuple[float, ...] = 1.0,
    *,
    model: VelocityModel | None = None,
    edited: bool = False,
) -> Bundle:
    """A solver from a bundle file, or a classical or published one by its name.

    Args:
        source: path of a bundle, or a name such as ``ab2`` or ``flow-sit-8``.
        nfe: number of queries of a classical solver; the others have their own.
        grid: time grid of a classical solver.
        guidance: scale to sample a named solver with, or one per query; a bundle has its own.
        model: that it is for: a classical solver covers its time range, 0 to 1 without one, and a
            bundle that was searched on another one is loaded with a warning.
        edited: take also a bundle that was changed by hand, without its figures.

    Raises:
        UsageError: if the name is unknown, the file is no bundle, or nfe is missing or another one.
    """
    name = str(source)
    if name in CLASSICAL:
        if nfe is None:
            raise UsageError(
                f"solver '{name}': a classical solver needs the number of steps, --nfe"
            )
        ends = (model.t_min, model.t_max) if model else (0.0, 1.0)
        return named_bundle(name, classical_table(name, make_grid(grid, nfe, *ends)), guidance)
    if name in published_names():
        bundle = named_bundle(name, published_table(name), guidance)
    elif Path(name).exists() or Path(name).suffix == ".json":
        bundle = load_bundle(Path(name), edited=edited)
        if model and bundle.model_fingerprint not in ("", model.fingerprint):
            log.warning(
                "%s: searched on %s (weights %.8s), not on %s (weights %.8s) as it is used here: "
                "what it gained there, and its figures, need not hold; `dss-ray evaluate` measures "
                "it, and --model takes the other one",
                *(name, bundle.model, bundle.model_fingerprint, model.name, model.fingerprint),
            )
    else:
        raise unknown("solver", name, [*CLASSICAL, *published_names(), "a bundle file"])
    if nfe not in (None, bundle.table.nfe):
        raise UsageError(f"solver '{name}' makes {bundle.table.nfe} queries, but --nfe is {nfe}")
    return bundle


def named_bundle(name: str, table: SolverTable, guidance: float | tuple[float, ...]) -> Bundle:
    """A table that was not searched, as a bundle for any model."""
    return Bundle(
        name=name,
        table=table,
        guidance=guidance,
        model="",
        model_fingerprint="",
        search=None,
        metrics={},
        versions=software_versions(),
        created=datetime.now(UTC),
    )
