"""Run a method or a chain of methods: the result of one starts the next."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from dss_ray.errors import UsageError, require_known
from dss_ray.models.guidance import GuidedModel, guide
from dss_ray.models.meter import Meter
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.teacher import Teacher
from dss_ray.search.gradient import gradient
from dss_ray.search.least_squares import least_squares
from dss_ray.search.objective import TARGETS
from dss_ray.search.paper import ITERATIONS, EulerStream, paper
from dss_ray.search.result import Batch, Batches, SearchResult, SearchSettings
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.table import SolverTable

Progress = Callable[[int, int], None]
Method = Callable[[Meter, Batches, SolverTable, SearchSettings], SearchResult]
METHODS: dict[str, Method] = {"least-squares": least_squares, "gradient": gradient, "paper": paper}
SCREENED_GRIDS = (  # the best of 25 power grids on the digits at N = 4, 6 and 10, and relatives
    "uniform", "cosine", "shift:0.7", "power:0.8:1", "power:0.8:1.2", "power:1:1.2", "power:1:1.4",
    "power:1.2:1.4", "power:1.2:1.7", "power:1.4:1.7",
)  # fmt: skip
SCREENING_SAMPLES = 32


@dataclass(frozen=True, eq=False)
class Search:
    """A finished search.

    Args:
        table: the solver found.
        grid: the starting grid, the best of the screened ones where it was "auto".
        history: by stage (numbered where it repeats) the (iteration, loss) pairs in the units of
            its objective.
        evaluations: network calls of the search per sample, summed, without the reference.
        seconds: its wall seconds, without the reference.
        network_seconds: its processor seconds inside the network.
        reference_evaluations: those of the teacher's trajectories, which many searches share.
        reference_seconds: wall seconds that they took when they were solved.
    """

    table: SolverTable
    grid: str
    history: dict[str, list[tuple[int, float]]]
    evaluations: int
    seconds: float
    network_seconds: float
    reference_evaluations: int
    reference_seconds: float


@dataclass(frozen=True)
class Told:
    """A source of trajectories that tells how far a stage has come each time it is asked."""

    source: Batches
    progress: Progress | None
    iterations: int

    def batch(self, index: int, size: int) -> Batch:
        """The source's batch."""
        if self.progress:
            self.progress(index, self.iterations)
        return self.source.batch(index, size)


def parse_chain(method: str) -> list[str]:
    """The stages of a chain such as ``least-squares+gradient``.

    Raises:
        UsageError: if a stage is unknown, or ``paper``, which has its own start, is not the first.
    """
    stages = method.split("+")
    for stage in stages:
        require_known("search method", stage, METHODS)
    if "paper" in stages[1:]:
        raise UsageError(f"search method '{method}': 'paper' has its own start, so it comes first")
    return stages


def run_search(
    model: VelocityModel,
    nfe: int,
    *,
    method: str = "least-squares",
    guidance: float = 1.0,
    grid: str = "auto",
    start: str | SolverTable = "ab2",
    settings: SearchSettings | None = None,
    progress: Progress | None = None,
) -> Search:
    """Search a solver of ``nfe`` queries for ``model``.

    Args:
        model: what is to be sampled.
        nfe: number of velocity queries.
        method: a method or a chain of methods joined by "+".
        guidance: guidance scale of the search; ``paper`` searches without guidance all the same.
        grid: starting grid; "auto" screens a few where least squares comes first, else it is
            "uniform".
        start: starting table: a classical name on that grid, or a table, which has its own grid.
        settings: of the methods.
        progress: called with the iterations done and those in all, stage by stage.

    Raises:
        UsageError: for an unknown method, grid, start or objective, or a table that does not fit.
        DivergedError: if the search or its reference meets NaN or infinity.
        ConvergenceError: if the reference does not converge.
    """
    settings = settings or SearchSettings()
    stages, guided = parse_chain(method), guide(model, guidance)
    require_known("objective", settings.objective, TARGETS)
    screened = grid == "auto" and stages[0] == "least-squares" and isinstance(start, str)
    grid, table = starting_point(guided, nfe, "uniform" if grid == "auto" else grid, start)
    span = float(table.knots[0]), float(table.knots[-1])
    stream = EulerStream(Teacher(guide(model, 1.0), "search", settings.seed, span))
    reference: Batches = stream
    reference_seconds, reference_evaluations, results = 0.0, 0, list[SearchResult]()
    if stages != ["paper"]:
        teacher = Teacher(guided, "search", settings.seed, span)
        reference, reference_seconds, reference_evaluations = teacher.reference(settings.samples)
    if screened:
        grid, screening = screen(guided, reference, nfe, settings)
        results, table = [screening], screening.table
    for stage in stages:
        if stage == "paper":
            told = Told(stream, progress, ITERATIONS)
            result = paper(metered(stream.teacher.model), told, table, settings)
        else:
            told = Told(reference, progress, (settings.iterations or 100) if stage == "gradient" else 1)
            result = METHODS[stage](metered(guided), told, table, settings)
        results.append(result)
        table = result.table
    return Search(
        table=table,
        grid="uniform" if stages[0] == "paper" else grid,
        history=histories(stages, results[-len(stages) :]),
        evaluations=sum(result.evaluations for result in results),
        seconds=sum(result.seconds for result in results),
        network_seconds=sum(result.network_seconds for result in results),
        reference_evaluations=reference_evaluations + stream.evaluations,
        reference_seconds=reference_seconds + stream.seconds,
    )


def starting_point(
    model: GuidedModel, nfe: int, grid: str, start: str | SolverTable
) -> tuple[str, SolverTable]:
    """The name of the starting grid and the starting table, which fits ``nfe`` and the model."""
    if isinstance(start, str):
        return grid, classical_table(start, make_grid(grid, nfe, model.t_min, model.t_max))
    if start.nfe != nfe:
        raise UsageError(f"the starting table makes {start.nfe} queries, but nfe is {nfe}")
    if start.knots[0] < model.t_min or start.knots[-1] > model.t_max:
        raise UsageError(
            f"the starting table runs from {start.knots[0]:g} to {start.knots[-1]:g}, but "
            f"{model.name} from {model.t_min:g} to {model.t_max:g}: start from another one"
        )
    return "given", start


def histories(stages: list[str], results: list[SearchResult]) -> dict[str, list[tuple[int, float]]]:
    """The history of each stage; those that repeat are numbered."""
    names = [
        f"{stage} {number}" if stages.count(stage) > 1 else stage
        for number, stage in enumerate(stages, 1)
    ]
    return {name: result.history for name, result in zip(names, results, strict=True)}


def metered(model: GuidedModel) -> Meter:
    """A fresh meter on a guided model."""
    return Meter(model, model.evaluations_per_query)


def screen(
    model: GuidedModel, reference: Batches, nfe: int, settings: SearchSettings
) -> tuple[str, SearchResult]:
    """The grid on which least squares on a few samples ends nearest to the teacher.

    Returns:
        Its name and the result of least squares there, with the cost of all grids.
    """
    meter, began = metered(model), time.perf_counter()
    lean, found = replace(settings, samples=SCREENING_SAMPLES), dict[str, SearchResult]()
    for grid in SCREENED_GRIDS:
        table = classical_table("euler", make_grid(grid, nfe, model.t_min, model.t_max))
        found[grid] = least_squares(meter, reference, table, lean)
    best = min(found, key=lambda grid: found[grid].history[-1][1])
    return best, replace(
        found[best],
        seconds=time.perf_counter() - began,
        evaluations=meter.evaluations,
        network_seconds=meter.seconds,
    )
