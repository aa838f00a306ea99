"""One Optuna study per model: what to try next, and the memory of what was tried."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from dss_ray.config.space import Dimension, Value, finite_points
from dss_ray.config.sweep import Objective
from dss_ray.errors import FileError
from dss_ray.records.rows import Row
from dss_ray.tune.samplers import GRID, Chooser

if TYPE_CHECKING:  # Optuna takes a second to import, which --help must not pay
    import optuna
    from optuna.storages import RDBStorage

ERROR, SKIPPED = "error", "skipped"
REDRAWS = 20  # of points already visited, before an unvisited one is looked for
Values = dict[str, Value]


class Study:
    """An Optuna study over a space, in a database that outlives the process.

    Args:
        storage: the database.
        name: of the study.
        space: the dimensions.
        chooser: says how points are chosen, and what is minimised.
        first: points that a new study tries before all others; a grid has its own order.
    """

    def __init__(
        self,
        storage: RDBStorage,
        name: str,
        space: Sequence[Dimension],
        chooser: Chooser,
        first: Iterable[Values] = (),
    ) -> None:
        import optuna

        from dss_ray.tune.mirror import Mirror

        self.space, self.chooser = space, chooser
        optuna.create_study(
            storage=storage,
            study_name=name,
            directions=["minimize"] * len(chooser.objectives),
            load_if_exists=True,
        )
        self.storage = Mirror(storage, name)
        self.study = optuna.load_study(study_name=name, storage=self.storage)
        if not self.study.get_trials(deepcopy=False) and chooser.name != GRID:
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
        from optuna.trial import TrialState

        trials = {trial.number: trial for trial in self.study.get_trials(deepcopy=False)}
        trial = trials.get(number)
        if trial is None or (trial.state == TrialState.WAITING and not trial.params):
            raise FileError(
                f"study {self.study.study_name}: trial {number} of rows.jsonl is not in it; "
                "restore the database or use a new --name"
            )
        if trial.state == TrialState.WAITING:  # it was requeued although its row was written
            self.storage.set_trial_state_values(self.identity(number), TrialState.RUNNING)
        if not trial.state.is_finished():
            self.complete(number, row)

    def requeue(self) -> None:
        """Let the trials that nobody works on any more wait for their turn, under their numbers."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.storage.set_trial_state_values(self.identity(trial.number), TrialState.WAITING)

    def identity(self, number: int) -> int:
        """A trial's id in the storage."""
        return self.storage.get_trial_id_from_study_id_trial_number(self.storage.own, number)

    def ask(self, visited: Callable[[Values], bool]) -> tuple[int, Values] | None:
        """A trial's number and the values of a point not visited before; None if none is left."""
        draws = REDRAWS if self.chooser.name != GRID else 0
        while draws > 0 or self.waits():  # what a killed process has queued comes first
            number, values = self.draw()
            if not visited(values):
                return number, values
            self.skip(number, "duplicate")
            draws -= 1
        unvisited = [values for values in finite_points(self.space) if not visited(values)]
        if not unvisited:
            return None
        index = 0
        if self.chooser.name != GRID:
            index = self.chooser.random(self.upcoming()).randrange(len(unvisited))
        self.study.enqueue_trial(unvisited[index])
        return self.draw()

    def waits(self) -> bool:
        """Whether a trial waits to be drawn."""
        trials = self.study.get_trials(deepcopy=False)
        return any(trial.state.name == "WAITING" for trial in trials)

    def upcoming(self) -> int:
        """The number of the trial that is drawn next: the first that waits, or a new one."""
        trials = self.study.get_trials(deepcopy=False)
        waiting = [trial.number for trial in trials if trial.state.name == "WAITING"]
        return waiting[0] if waiting else len(trials)

    def draw(self) -> tuple[int, Values]:
        """Whatever the study proposes next."""
        self.study.sampler = self.chooser.sampler(self.upcoming())
        trial, values = self.study.ask(), Values()
        for dimension in self.space:
            if dimension.active(values):
                values[dimension.name] = suggest(trial, dimension)
        self.storage.create(trial._trial_id)
        return trial.number, values

    def created(self, number: int) -> None:
        """Wait until the database knows a trial that was drawn: its row must not be alone."""
        self.storage.created(self.identity(number))

    def flush(self) -> None:
        """Wait until the database holds all that the study knows."""
        self.storage.flush()

    def complete(self, number: int, row: Row) -> None:
        """Tell the study a trial's figures, or why it has none."""
        values = [objective(row, name) for name in self.chooser.objectives]
        found = [value for value in values if value is not None]
        if row.error or len(found) < len(values):
            self.fail(number, row.error or "a figure is not finite")
            return
        if self.chooser.constraints:
            self.constrain(number, excesses(row, self.chooser.constraints))
        self.study.tell(number, found)

    def constrain(self, number: int, excess: Mapping[str, float]) -> None:
        """Tell by how much a trial misses each constraint; up to zero is kept."""
        from optuna.trial import Trial

        trial = Trial(self.study, self.identity(number))
        for name, value in excess.items():
            trial.set_constraint(name, value)

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


def excesses(row: Row, constraints: Mapping[Objective, float]) -> dict[str, float]:
    """How far above its limit each constrained figure is; infinitely far where there is none."""
    found = dict[str, float]()
    for name, limit in constraints.items():
        value = objective(row, name)
        found[name] = math.inf if value is None else value - limit
    return found


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
