"""The tables published with Differentiable Solver Search (arXiv 2505.21114), renormalised."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from dss_ray.errors import unknown
from dss_ray.solver.forms import data_table, velocity_table
from dss_ray.solver.table import SolverTable
from dss_ray.solver.vp import VP_END, VP_START, frame_time

# Short names of the families: the path, then the network on which the solvers were searched.
FAMILIES = {
    "flow-searched-on-flowdcn-b": "flow-dcn",
    "flow-searched-on-sit-xl": "flow-sit",
    "vp-searched-on-dit-xl": "vp-dit",
}


def published_names() -> list[str]:
    """Names of the 19 published solvers, as "flow-sit-5": path, network searched on, queries."""
    return list(entries())


def published_table(name: str) -> SolverTable:
    """Table of the published solver ``name``; VP ones run from t = 0.006594 to 0.989623.

    Raises:
        UsageError: if the name is unknown.
    """
    if name not in entries():
        raise unknown("published solver", name, entries())
    entry = entries()[name]
    deltas = torch.tensor(entry["time_deltas"], dtype=torch.float64)
    passed = torch.cat([deltas.new_zeros(1), deltas.cumsum(0)])
    passed = passed / passed[-1]
    weights = fill_diagonal(torch.tensor(entry["lower_coefficients"], dtype=torch.float64))
    if name.startswith("vp"):
        # Diffusion time counts down; the last one would be negative, where sigma is not real.
        return data_table(frame_time((VP_START - passed).clamp(min=VP_END)), weights)
    return velocity_table(passed, weights)


def fill_diagonal(lower: Tensor) -> Tensor:
    """Rows that sum to one: the weight of the newest prediction is one minus the others."""
    return lower + torch.diag(1 - lower.sum(1))


@cache
def entries() -> dict[str, dict[str, Any]]:
    """The printed deltas and coefficients of every published solver, by name."""
    text = files("dss_ray.solver").joinpath("published_solvers.json").read_text(encoding="utf-8")
    return {
        f"{FAMILIES[family]}-{solver['steps']}": solver
        for family, content in json.loads(text)["families"].items()
        for solver in content["solvers"]
    }
