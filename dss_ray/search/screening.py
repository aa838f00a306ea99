"""Screen where to start: least squares on a few samples from many tables, on all from the best."""

import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dss_ray.models.guidance import GuidedModel
from dss_ray.models.meter import Meter
from dss_ray.search.least_squares import least_squares
from dss_ray.search.result import Batches, Progress, SearchResult, SearchSettings
from dss_ray.search.space import AUTO, FREE, WHOLE
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.table import SolverTable

SCREENED_GRIDS = (  # the best of 25 power grids on the digits at N = 4, 6 and 10, and relatives
    "uniform", "cosine", "shift:0.7", "power:0.8:1", "power:0.8:1.2", "power:1:1.2", "power:1:1.4",
    "power:1.2:1.4", "power:1.2:1.7", "power:1.4:1.7", "power:1.7:2", "flow-respacing",
    "vp-respacing",
)  # fmt: skip
TIED = "velocity"  # the space of tables whose rows sum to the step width
LEAST_SAMPLES, ELEMENTS, KEPT = 32, 2048, 3  # few samples of images, more of points in a plane


@dataclass(frozen=True)
class Origin:
    """Where least squares may start.

    Args:
        grid: of the knots.
        space: of the rows.
        delays: by what fraction of their steps the first two queries come later than their knots.
            A state that is still noise says most about the velocity a little ahead.
    """

    grid: str
    space: str = WHOLE
    delays: tuple[float, float] = (0.0, 0.0)

    def table(self, model: GuidedModel, nfe: int) -> SolverTable:
        """Euler's rows on the grid, queried at the delayed times."""
        euler = classical_table("euler", make_grid(self.grid, nfe, model.t_min, model.t_max))
        delays = torch.tensor(self.delays, dtype=torch.float64)[:nfe]
        later = torch.nn.functional.pad(delays, (0, nfe - len(delays))) * euler.knots.diff()
        return replace(euler, times=euler.times + later)


TYPICAL = (0.35, 0.0)
DELAYS = ((0.0, 0.0), (0.2, 0.0), (0.5, 0.0), (0.65, 0.0), (0.2, 0.15), (0.35, 0.15), (0.5, 0.15))


def first_round(space: str, grids: tuple[str, ...]) -> list[Origin]:
    """The origins with which a search of ``space`` compares the grids."""
    free = space in FREE
    return [Origin(grid, WHOLE, TYPICAL) if free else Origin(grid, space) for grid in grids]


def second_round(space: str, grids: tuple[str, ...]) -> list[Origin]:
    """Those that are tried on the best grids: "auto" tries tied rows as well as free ones."""
    delayed = DELAYS if space in FREE else ()
    free = [Origin(grid, WHOLE, delays) for grid in grids for delays in delayed]
    return free + [Origin(grid, TIED) for grid in grids if space == AUTO]


def screen(
    velocity: Meter,
    reference: Batches,
    model: GuidedModel,
    settings: SearchSettings,
    nfe: int,
    *,
    grids: tuple[str, ...] = SCREENED_GRIDS,
    progress: Progress | None = None,
) -> SearchResult:
    """Where least squares ends nearest to the teacher, of several grids and first query times.

    Every grid costs one pass over a few samples, and so do variants on the best three; the best
    three of all are solved on all samples.

    Args:
        velocity: a fresh meter on the model.
        reference: the teacher's trajectories.
        model: its times count, and the size of its samples.
        settings: samples, space and those of least squares.
        nfe: the number of queries.
        grids: their names.
        progress: called with the evaluations done and those in all.

    Returns:
        The result of least squares there with the cost of all passes.
    """
    began = time.perf_counter()
    total = nfe * model.evaluations_per_query * screened_samples(settings, model, nfe, grids)

    def solved(origins: list[Origin], samples: int) -> dict[Origin, SearchResult]:
        found = dict[Origin, SearchResult]()
        for origin in origins:
            if progress:
                progress(velocity.evaluations, total)
            asked = replace(settings, samples=samples, space=origin.space)
            start = origin.table(model, nfe)
            found[origin] = least_squares(velocity, reference, start, asked)
        return found

    lean = samples_of_a_pass(settings, model, nfe)
    few = solved(first_round(settings.space, grids), lean)
    best = tuple(origin.grid for origin in nearest(few))
    few |= solved(second_round(settings.space, best), lean)
    found = solved(nearest(few), settings.enough(nfe))
    return replace(
        found[nearest(found)[0]],
        evaluations=velocity.evaluations,
        seconds=time.perf_counter() - began,
        network_seconds=velocity.seconds,
    )


def grid_of(table: SolverTable, model: GuidedModel, grids: tuple[str, ...]) -> str:
    """The first of ``grids`` whose knots are the table's; least squares keeps those it is given."""

    def knots(grid: str) -> Tensor:
        return make_grid(grid, table.nfe, model.t_min, model.t_max)

    return next(grid for grid in grids if torch.equal(knots(grid), table.knots))


def nearest(found: dict[Origin, SearchResult]) -> list[Origin]:
    """The three that end nearest to the teacher, or all where there are fewer."""
    return sorted(found, key=lambda origin: found[origin].history[-1][1])[:KEPT]


def samples_of_a_pass(settings: SearchSettings, model: GuidedModel, nfe: int) -> int:
    """The samples on which origins are compared, at most those that a search of ``nfe`` has."""
    enough = max(LEAST_SAMPLES, ELEMENTS // math.prod(model.sample_shape))
    return min(enough, settings.enough(nfe))


def screened_samples(
    settings: SearchSettings, model: GuidedModel, nfe: int, grids: tuple[str, ...]
) -> int:
    """The samples of all passes of ``screen``."""
    rounds = first_round(settings.space, grids), second_round(settings.space, grids[:KEPT])
    few = sum(map(len, rounds))
    lean = samples_of_a_pass(settings, model, nfe)
    return few * lean + min(KEPT, few) * settings.enough(nfe)
