"""The classical and published solvers that a searched one has to beat, screened by rmse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch

from dss_ray.api import span
from dss_ray.config.space import CONTINUOUS, Value, points
from dss_ray.config.sweep import Baselines, SweepSettings
from dss_ray.models.guidance import GuidedModel
from dss_ray.models.meter import Meter
from dss_ray.models.teacher import Teacher
from dss_ray.solver.classical import baseline_tables
from dss_ray.solver.grids import make_grid
from dss_ray.solver.published import published_names, published_table
from dss_ray.solver.sampling import sample
from dss_ray.solver.table import SolverTable
from dss_ray.tune.job import Job

ENDS = 1e-3  # how much of a discrete model's time range a continuous one's table may leave out

Kind = Literal["searched", "classical", "published"]
Candidate = tuple[Kind, str, str | None, SolverTable]  # kind, name, grid, table


def candidates(guided: GuidedModel, nfe: int, baselines: Baselines) -> Iterator[Candidate]:
    """Every classical method on every grid, and the published tables, of ``nfe`` queries."""
    for grid in baselines.grids:
        knots = make_grid(grid, nfe, guided.t_min, guided.t_max)
        for name, table in baseline_tables(knots, baselines.methods).items():
            yield "classical", name, grid, table
    for name in published_names():
        table = published_table(name)
        if table.nfe == nfe and covers(table, guided):
            yield "published", name, None, table


def covers(table: SolverTable, guided: GuidedModel) -> bool:
    """Whether a table stays in the model's time range and runs from end to end of it, nearly."""
    (first, last), begin, end = span(table), guided.t_min, guided.t_max
    return begin <= first < begin + ENDS and end - ENDS < last <= end


def screened(guided: GuidedModel, nfe: int, baselines: Baselines) -> list[Candidate]:
    """The candidates with the least rmse on a few search noises: some classical, one published."""
    count = baselines.samples
    teacher = Teacher(guided, "search", 0)
    (noise, label), ends = teacher.noise(0, count), teacher.ends(0, count)
    meter, ranked = Meter(guided), list[tuple[float, Candidate]]()
    with torch.no_grad():
        for candidate in candidates(guided, nfe, baselines):
            states = sample(meter, candidate[-1], noise, label)
            ranked.append((float((states - ends).square().mean()), candidate))
    ranked = sorted(
        (entry for entry in ranked if entry[0] < float("inf")), key=lambda entry: entry[0]
    )
    keep: dict[Kind, int] = {"classical": baselines.keep, "published": 1}
    return [
        entry for kind, most in keep.items()
        for entry in [one for _, one in ranked if one[0] == kind][:most]
    ]  # fmt: skip


def baseline_jobs(settings: SweepSettings) -> Iterator[Job]:
    """One job per model, NFE and guidance, the longest first and guidance values in turn."""
    space = {dimension.name: dimension for dimension in settings.space()}
    guidances = points(space["guidance"], CONTINUOUS) if "guidance" in space else [1.0]
    for model in settings.models:
        for nfe in sorted(points(space["nfe"]), reverse=True):
            for guidance in guidances:
                values: dict[str, Value] = {"nfe": int(nfe), "guidance": float(guidance)}
                yield Job(
                    "baseline",
                    model,
                    values,
                    settings.evaluation,
                    settings.baselines,
                    settings.resources.device,
                )
