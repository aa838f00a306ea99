"""Screen starting grids: least squares on a few samples of many, on all samples of the best."""

import time
from dataclasses import replace

from dss_ray.models.guidance import GuidedModel
from dss_ray.models.meter import Meter
from dss_ray.search.least_squares import least_squares
from dss_ray.search.result import Batches, SearchResult, SearchSettings
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid

SCREENED_GRIDS = (  # the best of 25 power grids on the digits at N = 4, 6 and 10, and relatives
    "uniform", "cosine", "shift:0.7", "power:0.8:1", "power:0.8:1.2", "power:1:1.2", "power:1:1.4",
    "power:1.2:1.4", "power:1.2:1.7", "power:1.4:1.7",
)  # fmt: skip
SCREENING_SAMPLES, KEPT = 32, 3


def screen(
    velocity: Meter,
    reference: Batches,
    model: GuidedModel,
    nfe: int,
    settings: SearchSettings,
) -> tuple[str, SearchResult]:
    """The grid on which least squares ends nearest to the teacher.

    Every grid costs one pass over a few samples; the best three are solved on all of them.

    Returns:
        The grid's name, and the result of least squares there with the cost of all grids.
    """
    began, lean = time.perf_counter(), replace(settings, samples=SCREENING_SAMPLES)

    def solved(grid: str, settings: SearchSettings) -> SearchResult:
        knots = make_grid(grid, nfe, model.t_min, model.t_max)
        return least_squares(velocity, reference, classical_table("euler", knots), settings)

    first = {grid: solved(grid, lean) for grid in SCREENED_GRIDS}
    best = sorted(first, key=lambda grid: first[grid].history[-1][1])[:KEPT]
    found = {grid: solved(grid, settings) for grid in best}
    grid = min(best, key=lambda grid: found[grid].history[-1][1])
    return grid, replace(
        found[grid],
        evaluations=velocity.evaluations,
        seconds=time.perf_counter() - began,
        network_seconds=velocity.seconds,
    )
