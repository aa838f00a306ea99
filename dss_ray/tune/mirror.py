"""A study's database as its only writer needs it: written through, never read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class Mirror(InMemoryStorage):
    """Keeps the one study of this driver in memory, and writes each change to the database.

    Optuna reads all trials that run from a database whenever it draws or tells one, so that one
    trial would cost the more the more of them run. A sweep's lock lets nobody else write. A new
    trial is written by ``write``, once, with all that its sampler has chosen.

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
        self.written = dict[int, int]()  # ids in the database by those here
        for trial in database.get_all_trials(self.theirs, deepcopy=False):
            self.written[super().create_new_trial(self.own, trial)] = trial._trial_id

    def write(self, trial_id: int) -> None:
        """Put a trial into the database, unless it is there."""
        if trial_id not in self.written:
            trial = self.get_trial(trial_id)
            self.written[trial_id] = self.database.create_new_trial(self.theirs, trial)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """The id; one that waits is written at once."""
        trial_id = super().create_new_trial(study_id, template_trial)
        if template_trial:
            self.write(trial_id)
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """As of Optuna's storages, as are all below."""
        param = param_name, param_value_internal, distribution
        if trial_id in self.written:
            self.database.set_trial_param(self.written[trial_id], *param)
        super().set_trial_param(trial_id, *param)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Whether it has changed."""
        theirs = self.written[trial_id]
        changed = self.database.set_trial_state_values(theirs, state, values)
        if state == TrialState.WAITING:
            self._prev_waiting_trial_number[self.own] = 0  # Optuna looks for later ones alone
        return changed and super().set_trial_state_values(trial_id, state, values)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Of a trial that is not finished."""
        if trial_id in self.written:
            self.database.set_trial_user_attr(self.written[trial_id], key, value)
        super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Of a trial that is not finished."""
        if trial_id in self.written:
            self.database.set_trial_system_attr(self.written[trial_id], key, value)
        super().set_trial_system_attr(trial_id, key, value)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Of the study."""
        self.database.set_study_user_attr(self.theirs, key, value)
        super().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Of the study."""
        self.database.set_study_system_attr(self.theirs, key, value)
        super().set_study_system_attr(study_id, key, value)
