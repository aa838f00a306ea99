"""What the benchmark of search costs measures: its methods, and their cells in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dss_ray.search.run import DEFAULT_METHOD

MODELS = ("digits-sit", "gaussian-mixture", "digits-dit")
GUIDANCE = (1.0, 2.0)
NFES = (5, 6, 8, 10)
FEW = (3, 4)  # queries at which the issue is what the objective or the space can gain
FEWEST = (*FEW, 5)  # queries at which the objectives are compared by FID
SEEDS = (0, 1, 2)
JUDGE, STEERING = "digits-cnn", "digits-mlp"
IMAGES = ("digits-sit", "digits-dit")  # models whose samples the two extractors can judge
FLOW, VP = ("digits-sit", "gaussian-mixture"), ("digits-dit",)


@dataclass(frozen=True)
class Method:
    """One way to a solver.

    Args:
        nfes: at which it is measured; 0 stands for the converged teacher, whatever its steps.
        chain: of ``dss_ray.search``; empty for solvers that need no search.
        settings: of the search, beside its seed.
        models: on which it can run.
        turn: methods of a higher one wait until those of a lower one are done.
    """

    nfes: tuple[int, ...]
    chain: str = ""
    settings: Mapping[str, str | float] = field(default_factory=dict)
    models: tuple[str, ...] = MODELS
    turn: int = 0

    @property
    def seeds(self) -> tuple[int, ...]:
        """The search seeds."""
        return SEEDS if self.chain else SEEDS[:1]


# For digits-sit: on selection noises at five queries better than 0.01, and than 0.05 in velocity.
TUNED = {"samples": 2048, "iterations": 1565, "batch_size": 32, "learning_rate": 0.003}
STEERED = {"objective": "features", "features": STEERING}
NARROW = TUNED | {"space": "velocity", "learning_rate": 0.01}  # better than 0.003 there
METHODS = {
    "least-squares": Method(NFES, "least-squares"),
    "default": Method((*FEW, *NFES), DEFAULT_METHOD),
    "velocity": Method((4, *NFES), DEFAULT_METHOD, {"space": "velocity"}),
    "classical": Method((*FEW, *NFES)),
    "flow-sit": Method(NFES, models=FLOW),
    "flow-dcn": Method(NFES, models=FLOW),
    "vp-dit": Method(NFES, models=VP),
    "teacher": Method((0,), models=IMAGES),
    "frechet": Method(FEWEST, f"{DEFAULT_METHOD}+frechet", {"features": STEERING}, IMAGES, turn=1),
    "features": Method((*FEW, *NFES), DEFAULT_METHOD, STEERED, IMAGES),
    "gradient": Method(NFES, "least-squares+gradient", TUNED, turn=1),
    "gradient-velocity": Method(NFES, "least-squares+gradient", NARROW, turn=1),
    "paper": Method(NFES, "paper", turn=2),
}
COMPARED = ("default", "features", "frechet", "teacher")  # by FID


@dataclass(frozen=True)
class Cell:
    """One row of the benchmark: a solver found in one way for one model and guidance."""

    model: str
    guidance: float
    nfe: int
    method: str
    seed: int

    @property
    def key(self) -> tuple[str, ...]:
        """What a finished row is known by: the first columns, as they are written."""
        return (self.model, f"{self.guidance:g}", str(self.nfe), self.method, str(self.seed))

    @property
    def compared(self) -> bool:
        """Whether its FID is taken from many samples."""
        return self.nfe in (0, *FEWEST) and self.method in COMPARED and self.model in IMAGES

    @property
    def found_at(self) -> float:
        """The guidance of the search; the recipe knows none and serves every one."""
        return 1.0 if self.method == "paper" else self.guidance

    @property
    def file(self) -> str:
        """Name of the file that keeps the solver found, which two cells of the recipe share."""
        return f"{self.model}-g{self.found_at:g}-N{self.nfe}-{self.method}-s{self.seed}.json"


def all_cells() -> list[Cell]:
    """All cells, those that decide most first."""

    def place(cell: Cell) -> tuple[int, ...]:
        model, method = MODELS.index(cell.model), list(METHODS).index(cell.method)
        turn = METHODS[cell.method].turn
        return (turn, model, GUIDANCE.index(cell.guidance), cell.seed, method, cell.nfe)

    return sorted(cells(), key=place)


def cells() -> Iterator[Cell]:
    """All cells in no order that matters."""
    for name, method in METHODS.items():
        for model in method.models:
            for guidance in GUIDANCE:
                for nfe in method.nfes:
                    yield from (Cell(model, guidance, nfe, name, seed) for seed in method.seeds)
