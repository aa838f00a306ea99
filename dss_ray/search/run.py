"""Run a method or a chain of methods: the result of one starts the next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from dss_ray.errors import UsageError, require_known
from dss_ray.models.guidance import GuidedModel, guide
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.teacher import Teacher
from dss_ray.search.bures import FrechetTarget
from dss_ray.search.features import feature_map
from dss_ray.search.frechet import frechet
from dss_ray.search.objective import parse_loss
from dss_ray.search.paper import EulerStream
from dss_ray.search.result import Batches, Journal, Progress, SearchResult, SearchSettings
from dss_ray.search.screening import SCREENED_GRIDS, grid_of, screen
from dss_ray.search.space import AUTO, SPACES
from dss_ray.search.stages import METHODS, StageJournal, metered, once, run_stage
from dss_ray.search.target import STEPS, Target, first_tolerance
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.table import SolverTable

DEFAULT_METHOD = "least-squares+gauss-newton"
MOST_QUERIES = 160  # so that the finest teacher, of 640 steps, has four times as many


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
        guidance: the scale of the search, or what ``frechet`` found: one per query.
    """

    table: SolverTable
    grid: str
    history: dict[str, list[tuple[int, float]]]
    evaluations: int
    seconds: float
    network_seconds: float
    reference_evaluations: int
    reference_seconds: float
    guidance: float | tuple[float, ...]


def parse_chain(method: str) -> list[str]:
    """The stages of a chain such as ``least-squares+gauss-newton``.

    Raises:
        UsageError: if a stage is unknown, or ``paper``, which has its own start, is not the first.
    """
    stages = method.split("+")
    for stage in stages:
        require_known("search method", stage, METHODS)
    if "paper" in stages[1:]:
        raise UsageError(f"search method '{method}': 'paper' has its own start, so it comes first")
    if "frechet" in stages[:-1]:
        raise UsageError(f"search method '{method}': 'frechet' searches guidance, so it comes last")
    return stages


def run_search(
    model: VelocityModel,
    nfe: int,
    *,
    method: str = DEFAULT_METHOD,
    guidance: float = 1.0,
    grid: str = "auto",
    start: str | SolverTable = "ab2",
    settings: SearchSettings | None = None,
    steer: FrechetTarget | None = None,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> Search:
    """Search a solver of ``nfe`` queries for ``model``.

    Args:
        model: what is to be sampled.
        nfe: number of velocity queries, at most 160.
        method: a method or a chain of methods joined by "+".
        guidance: guidance scale of the search; ``paper`` searches without guidance all the same.
        grid: starting grid; least squares, where it comes first, screens what may start it on that
            grid, or on many for "auto", which is "uniform" for the other methods.
        start: starting table: a classical name on that grid, or a table, which has its own grid.
        settings: of the methods.
        steer: what ``frechet`` makes the samples like.
        journal: where the state is kept, so that the same call goes on after an interruption.
        progress: called with the units of work done and those in all, stage by stage.

    Raises:
        UsageError: for an unknown method, grid, start or objective, or a table that does not fit.
        DivergedError: if the search or its reference meets NaN or infinity.
        ConvergenceError: if the reference does not converge.
    """
    settings, stages = settings or SearchSettings(), parse_chain(method)
    parse_loss(settings.loss)
    require_known("space", settings.space, (AUTO, *SPACES))
    if nfe > MOST_QUERIES:
        raise UsageError(f"nfe: a search takes at most {MOST_QUERIES} queries, got {nfe}")
    if "frechet" in stages and steer is None:
        raise UsageError("search method 'frechet': expected statistics to steer by; use api.search")
    guided = guide(model, guidance)
    screened = stages[0] == "least-squares" and isinstance(start, str)
    grids = SCREENED_GRIDS if grid == "auto" else (grid,)
    grid, table = starting_point(guided, nfe, "uniform" if grid == "auto" else grid, start)
    chain = Chain(guided, stages, grid, table, settings, steer, journal, progress)
    if screened:
        chain.screen(grids)
    while len(chain.results) < len(stages):
        chain.advance()
    return chain.found()


class Chain:
    """Stages on their way: where they aim, and what they have found.

    Attributes:
        table: the last stage's, which starts the next.
        results: of the stages so far.
    """

    def __init__(  # noqa: PLR0917
        self,
        model: GuidedModel,
        stages: list[str],
        grid: str,
        table: SolverTable,
        settings: SearchSettings,
        steer: FrechetTarget | None,
        journal: Journal | None,
        progress: Progress | None,
    ) -> None:
        self.model, self.stages, self.grid, self.table = model, stages, grid, table
        self.settings, self.steer = settings, steer
        self.journal, self.progress = journal, progress
        self.results = list[SearchResult]()
        aimed = settings.objective == "features"
        self.features = feature_map(model, settings.features) if aimed else None
        span = float(table.knots[0]), float(table.knots[-1])
        plain = guide(model.model, 1.0)
        self.stream = EulerStream(Teacher(plain, "search", settings.seed, span))
        self.target: Target | None = None
        if stages != ["paper"]:
            rough, fewest = first_tolerance(table.nfe), STEPS * table.nfe
            teacher = Teacher(model, "search", settings.seed, span, rough, fewest)
            self.target = Target(teacher, progress)

    def source(self, stage: str) -> Batches:
        """What a stage aims at."""
        if stage == "paper" or self.target is None:
            return self.stream
        return self.target.trajectories(self.settings.enough(self.table.nfe, stage))

    def screen(self, grids: tuple[str, ...]) -> None:
        """Least squares, the first stage, from the best of several starts."""
        source = self.source(self.stages[0])

        def work() -> SearchResult:
            return screen(
                metered(self.model, self.settings),
                source,
                self.model,
                self.settings,
                self.table.nfe,
                grids=grids,
                progress=self.progress,
            )

        result = once(self.journal and StageJournal(self.journal, 1), work)
        self.grid = grid_of(result.table, self.model, grids)
        self.finish(result)

    def advance(self) -> None:
        """Run the next stage, or take its result from the journal."""
        stage, number = self.stages[len(self.results)], len(self.results) + 1
        journal = self.journal and StageJournal(self.journal, number)
        if stage == "frechet":
            work = partial(self.frechet, journal)
        else:
            work = partial(self.run, stage, self.source(stage), journal)
        self.finish(once(journal, work))

    def run(self, stage: str, source: Batches, journal: Journal | None) -> SearchResult:
        """A stage that aims at the teacher."""
        model = self.stream.teacher.model if stage == "paper" else self.model
        work = partial(run_stage, features=self.features, journal=journal, progress=self.progress)
        return work(stage, model, source, self.table, self.settings)

    def frechet(self, journal: Journal | None) -> SearchResult:
        """The stage that makes samples like those of reference statistics, on noises of its own."""
        assert self.steer and self.target
        teacher, used = self.target.teacher, self.target.samples
        return frechet(
            self.model.model,
            lambda first, count: teacher.noise(used + first, count),
            self.steer,
            self.table,
            self.settings,
            guidance=self.model.scale,
            journal=journal,
            progress=self.progress,
        )

    def finish(self, result: SearchResult) -> None:
        """Take the result of a stage."""
        stage = self.stages[len(self.results)]
        self.results.append(result)
        self.table = result.table
        if self.target and stage == "least-squares" and len(self.results) < len(self.stages):
            self.target.refine(result.history[-1][1])

    def found(self) -> Search:
        """All of it together."""
        results, guidance = self.results, self.results[-1].guidance
        costs = [self.target.cost()] if self.target else []
        if self.stages[0] == "paper":
            costs.append(self.stream.cost())
        return Search(
            table=self.table,
            grid="uniform" if self.stages[0] == "paper" else self.grid,
            history=histories(self.stages, results),
            evaluations=sum(result.evaluations for result in results),
            seconds=sum(result.seconds for result in results),
            network_seconds=sum(result.network_seconds for result in results),
            reference_evaluations=sum(evaluations for evaluations, _ in costs),
            reference_seconds=sum(seconds for _, seconds in costs),
            guidance=self.model.scale if guidance is None else guidance,
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
