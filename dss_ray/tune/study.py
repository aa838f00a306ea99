"""One Optuna study per model: what to try next, and the memory of what was tried."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dss_ray.config.space import Dimension, Value, finite_points
from dss_ray.errors import FileError
from dss_ray.records.rows import Row
from dss_ray.tune.samplers import GRID, Chooser

if TYPE_CHECKING:  # Optuna takes a second to import, which --help must not pay
    import optuna

ERROR, SKIPPED = "error", "skipped"
REDRAWS = 20  # of points already visited, before an unvisited one is looked for
Values = dict[str, Value]


class Study:
    """An Optuna study over a space, in a database that outlives the process.

    Args:
        path: of the SQLite file.
        name: of the study.
        space: the dimensions.
        chooser: says how points are chosen, and what is minimised.
        first: points that a new study tries before all others; a grid has its own order.

    Raises:
        FileError: if the file is no readable database of studies.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        space: Sequence[Dimension],
        chooser: Chooser,
        first: Iterable[Values] = (),
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.path, self.chooser = space, path, chooser
        try:
            self.study = optuna.create_study(
                storage=f"sqlite:///{path}",
                study_name=name,
                directions=["minimize"] * len(chooser.objectives),
                load_if_exists=True,
            )
            known = len(self.study.trials)
        except Exception as error:  # noqa: BLE001 - SQLAlchemy, alembic and Optuna each have theirs
            reason = str(error).partition("\n")[0]
            raise FileError(
                f"{path}: no readable study ({reason}); restore it or take a new --name"
            ) from None
        if not known and chooser.name != GRID:
            for values in first:
                self.study.enqueue_trial(values)
            self.enqueue_defaults()

    def enqueue_defaults(self) -> None:
        """Try the first choice of everything first, at every NFE and guidance."""
        lists = {
            d.name: d.choices for d in self.space if d.name in ("nfe", "guidance") and d.choices
        }
        for point in itertools.product(*lists.values()):
            fixed, values = dict(zip(lists, point, strict=True)), Values()
            for dimension in self.space:
                if dimension.active(values):
                    values[dimension.name] = fixed.get(dimension.name, default(dimension))
            self.study.enqueue_trial(values)

    def finished(self) -> int:
        """How many trials count against the budget: complete, or failed by themselves."""
        skipped = self.study.user_attrs
        return sum(
            trial.state.is_finished() and f"{SKIPPED} {trial.number}" not in skipped
            for trial in self.study.trials
        )

    def settle(self, number: int, row: Row) -> None:
        """Tell the outcome of a trial that is on record, unless the study knows it already."""
        states = {trial.number: trial.state for trial in self.study.get_trials(deepcopy=False)}
        if number not in states or states[number].name == "WAITING":
            raise FileError(
                f"{self.path}: trial {number} of rows.jsonl is not in the study; restore the "
                "database or use a new --name"
            )
        if not states[number].is_finished():
            self.complete(number, row)

    def requeue(self) -> None:
        """Fail the trials that a killed process left running, and try their points again."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.skip(trial.number, "interrupted")
            point = trial.system_attrs.get("fixed_params", {}) | trial.params
            if point:
                self.study.enqueue_trial(point)

    def ask(self, visited: Callable[[Values], bool]) -> tuple[int, Values] | None:
        """A trial's number and the values of a point not visited before; None if none is left."""
        for _ in range(REDRAWS if self.chooser.name != GRID else 0):
            number, values = self.draw()
            if not visited(values):
                return number, values
            self.skip(number, "duplicate")
        unvisited = [values for values in finite_points(self.space) if not visited(values)]
        if not unvisited:
            return None
        index = 0
        if self.chooser.name != GRID:
            index = self.chooser.random(self.asked()).randrange(len(unvisited))
        self.study.enqueue_trial(unvisited[index])
        return self.draw()

    def asked(self) -> int:
        """How many trials there are, those that wait left out."""
        trials = self.study.get_trials(deepcopy=False)
        return sum(trial.state.name != "WAITING" for trial in trials)

    def draw(self) -> tuple[int, Values]:
        """Whatever the study proposes next."""
        self.study.sampler = self.chooser.sampler(self.asked())
        trial, values = self.study.ask(), Values()
        for dimension in self.space:
            if dimension.active(values):
                values[dimension.name] = suggest(trial, dimension)
        return trial.number, values

    def complete(self, number: int, row: Row) -> None:
        """Tell the study a trial's figures, or why it has none."""
        values = [objective(row, name) for name in self.chooser.objectives]
        found = [value for value in values if value is not None]
        if row.error or len(found) < len(values):
            self.fail(number, row.error or "a figure is not finite")
        else:
            self.study.tell(number, found)

    def fail(self, number: int, reason: str) -> None:
        """Tell the study that a trial failed, and why."""
        self.mark(number, ERROR, reason)

    def skip(self, number: int, reason: str) -> None:
        """Take a trial out of the count: it never ran, or it will run again."""
        self.mark(number, SKIPPED, reason)

    def mark(self, number: int, attribute: str, reason: str) -> None:
        """Fail a trial, and keep why with the study."""
        from optuna.trial import TrialState

        self.study.set_user_attr(f"{attribute} {number}", reason)
        self.study.tell(number, state=TrialState.FAIL)


def objective(row: Row, name: str) -> float | None:
    """A figure of a row; the distance is that of the selection, which all trials have."""
    value = row.selection_fid if name == "fid" and row.final else getattr(row, name)
    return None if value is None else float(value)


def default(dimension: Dimension) -> Value:
    """The first choice, or the middle of a range."""
    if dimension.choices:
        return dimension.choices[0]
    if dimension.log:
        return dimension.kind(math.sqrt(dimension.low * dimension.high))  # type: ignore[no-any-return]
    middle = (dimension.low + dimension.high) / 2
    if dimension.step:
        middle = dimension.low + dimension.step * ((middle - dimension.low) // dimension.step)
    return dimension.kind(middle)  # type: ignore[no-any-return]


def suggest(trial: optuna.Trial, dimension: Dimension) -> Value:
    """The value that the study proposes for one key."""
    if dimension.choices:
        return cast(Value, trial.suggest_categorical(dimension.name, dimension.choices))
    low, high, step, log = dimension.low, dimension.high, dimension.step, dimension.log
    if dimension.kind is int:
        return trial.suggest_int(dimension.name, int(low), int(high), step=int(step or 1), log=log)
    return trial.suggest_float(dimension.name, low, high, step=step, log=log)
