"""A study's database as its only writer needs it: written behind, never read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class Mirror(InMemoryStorage):
    """Keeps the one study of this driver in memory; a thread writes each change to the database.

    Optuna reads all trials that run from a database whenever it draws or tells one, so that one
    trial would cost the more the more of them run; and when many end at once, all but the first
    would wait for a database that is written to by the one before. A sweep's lock lets nobody
    else write. A new trial is written once, with all that its sampler has chosen.

    All that changes the study raises what the database raised before, and so do ``flush`` and
    ``created``; after a change that failed nothing more is written.

    Args:
        database: where the study lies.
        name: of the study.
    """

    def __init__(self, database: BaseStorage, name: str) -> None:
        super().__init__()
        self.database = database
        self.theirs = database.get_study_id_from_name(name)
        self.own = super().create_new_study(database.get_study_directions(self.theirs), name)
        for key, value in database.get_study_user_attrs(self.theirs).items():
            super().set_study_user_attr(self.own, key, value)
        for key, value in database.get_study_system_attrs(self.theirs).items():
            super().set_study_system_attr(self.own, key, value)
        self.ids = dict[int, int]()  # those in the database by those here
        self.creations = dict[int, Future[None]]()  # of the trials that are to be there
        self.failure: Exception | None = None
        self.writer = ThreadPoolExecutor(1, "study")
        nothing = self.later(lambda: None)
        for trial in database.get_all_trials(self.theirs, deepcopy=False):
            trial_id = super().create_new_trial(self.own, trial)
            self.ids[trial_id], self.creations[trial_id] = trial._trial_id, nothing

    def later(self, change: Callable[[], object]) -> Future[None]:
        """Queue a change to the database."""
        if self.failure:
            raise self.failure
        return self.writer.submit(self.make, change)

    def make(self, change: Callable[[], object]) -> None:
        """On the thread: what depends on a change that failed is not made."""
        if self.failure is None:
            try:
                change()
            except Exception as error:  # noqa: BLE001 - raised where the sweep hears of it
                self.failure = error

    def wait(self, change: Future[None]) -> None:
        """Until it is made."""
        change.result()
        if self.failure:
            raise self.failure

    def flush(self) -> None:
        """Wait until the database holds all."""
        self.wait(self.later(lambda: None))

    def created(self, trial_id: int) -> None:
        """Wait until the database knows a trial."""
        self.wait(self.creations[trial_id])

    def create(self, trial_id: int) -> None:
        """Put a trial as it is now into the database, unless it is to be there anyway."""
        if trial_id not in self.creations:
            trial = self.get_trial(trial_id)
            self.creations[trial_id] = self.later(partial(self.insert, trial_id, trial))

    def insert(self, trial_id: int, trial: FrozenTrial) -> None:
        """On the thread: as of ``create``."""
        self.ids[trial_id] = self.database.create_new_trial(self.theirs, trial)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """The id; one that waits is written at once."""
        trial_id = super().create_new_trial(study_id, template_trial)
        if template_trial:
            self.create(trial_id)
        return trial_id

    def follow(self, trial_id: int, change: Callable[[int], object]) -> None:
        """Queue a change of a trial that is to be in the database, given its id there."""
        if trial_id in self.creations:
            self.later(lambda: change(self.ids[trial_id]))

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """As of Optuna's storages, as are all below."""
        param = param_name, param_value_internal, distribution
        self.follow(trial_id, lambda theirs: self.database.set_trial_param(theirs, *param))
        super().set_trial_param(trial_id, *param)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Whether it has changed."""
        self.follow(
            trial_id, lambda theirs: self.database.set_trial_state_values(theirs, state, values)
        )
        if state == TrialState.WAITING:
            self._prev_waiting_trial_number[self.own] = 0  # Optuna looks for later ones alone
        return super().set_trial_state_values(trial_id, state, values)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Of a trial that is not finished."""
        self.follow(trial_id, lambda theirs: self.database.set_trial_user_attr(theirs, key, value))
        super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Of a trial that is not finished."""
        self.follow(
            trial_id, lambda theirs: self.database.set_trial_system_attr(theirs, key, value)
        )
        super().set_trial_system_attr(trial_id, key, value)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Of the study."""
        self.later(lambda: self.database.set_study_user_attr(self.theirs, key, value))
        super().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Of the study."""
        self.later(lambda: self.database.set_study_system_attr(self.theirs, key, value))
        super().set_study_system_attr(study_id, key, value)
