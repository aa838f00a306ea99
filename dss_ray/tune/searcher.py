"""The Ray Tune searcher: hands out baseline jobs, then what the studies ask for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher

from dss_ray.config.space import finite_points
from dss_ray.config.sweep import SweepSettings
from dss_ray.tune.budget import Budget
from dss_ray.tune.interrupts import shielded
from dss_ray.tune.job import Job
from dss_ray.tune.loaded import starting_table
from dss_ray.tune.outcome import Outcome
from dss_ray.tune.study import Study, Values
from dss_ray.tune.trainable import OUTCOME, job_config

ATTEMPTS = 3  # a worker dies of its neighbours as well as of its job
LOSSES = 20  # a node that is lost or preempted says little against the jobs it had
NODE_LOST = (  # Ray's words, of a node that it has missed and of one that it does not miss yet
    "node has died",
    "The actor is temporarily unavailable",
)
Work = tuple[Job, int | None]  # with the number of its trial in its model's study, if it has one
Listener = Callable[[Job, int | None, Outcome], None]


class StudySearcher(Searcher):
    """Gives each Tune trial a job and brings its outcome to the records, then to its study.

    The outcome is written down before the study hears of it: a kill between the two leaves a
    running trial in the study whose key is already finished, which a resumed sweep settles.
    A job whose worker died is handed out again after all others, a few times, the last time alone:
    a neighbour may have taken the memory. What the records or the database raise ends the sweep;
    Tune makes a traceback of it, so ``failure`` keeps it as it was.

    Args:
        settings: of the sweep.
        studies: per model.
        queue: what to do before the studies are asked: the baselines.
        done: the keys of finished jobs; grows as jobs are handed out.
        crowd: says how many jobs may run at once.
        budget: says when no further job is to be handed out.
        began: called with each job that starts.
        ended: called with each job's outcome.
    """

    def __init__(
        self,
        settings: SweepSettings,
        studies: Mapping[str, Study],
        *,
        queue: list[Work],
        done: set[str],
        crowd: Callable[[], int],
        budget: Budget,
        began: Callable[[Job, int | None], None],
        ended: Listener,
    ) -> None:
        super().__init__()
        self.settings, self.studies, self.queue, self.done = settings, studies, queue, done
        self.crowd, self.budget, self.began, self.ended = crowd, budget, began, ended
        self.jobs: dict[str, Work] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.started: dict[str, float] = {}
        self.reasons: dict[str, str] = {}
        self.failure: Exception | None = None
        self.deaths = Counter[tuple[str, str]]()
        self.again = list[Work]()
        points = len(finite_points(settings.space())) or settings.trials
        trials = min(points, settings.trials)
        self.open = {name: trials - study.finished() for name, study in studies.items()}

    @property
    def left(self) -> int:
        """Jobs still to be done."""
        waiting = len(self.queue) + len(self.jobs) + len(self.again)
        return waiting + sum(max(0, left) for left in self.open.values())

    @contextmanager
    def kept(self) -> Iterator[None]:
        """No interrupt in the midst of it, and a failure once is a failure ever after."""
        if self.failure:
            raise self.failure
        try:
            with shielded():
                yield
        except Exception as error:
            self.failure = error
            raise

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next job's configuration, None while there may be one later, or FINISHED."""
        with self.kept():
            return self.next(trial_id)

    def next(self, trial_id: str) -> dict[str, Any] | str | None:
        """As of ``suggest``."""
        if self.budget.spent():
            return self.FINISHED
        if len(self.jobs) >= self.crowd():
            return None
        drawn = self.queue.pop(0) if self.queue else self.draw()
        if drawn is None and self.again:
            if self.jobs and any(map(self.last_attempt, [self.again[0], *self.jobs.values()])):
                return None
            drawn = self.again.pop(0)
        if drawn is None:
            return None if self.jobs else self.FINISHED
        self.jobs[trial_id] = drawn
        self.done.add(drawn[0].key)
        self.began(*drawn)
        return job_config(drawn[0], self.settings.trial_seconds)

    def last_attempt(self, work: Work) -> bool:
        """Whether a job fails if its worker dies once more: it then runs without neighbours."""
        return self.deaths[work[0].key, "worker"] == ATTEMPTS - 1

    def draw(self) -> Work | None:
        """A job of the model with the most trials left, and its number in that model's study."""
        while any(left > 0 for left in self.open.values()):
            model = max(self.open, key=lambda name: self.open[name])
            asked = self.studies[model].ask(partial(self.visited, model))
            if asked is not None:
                self.open[model] -= 1
                return self.job(model, asked[1]), asked[0]
            self.open[model] = 0  # its space is exhausted
        return None

    def visited(self, model: str, values: Values) -> bool:
        """Whether this point has been handed out before."""
        return self.job(model, values).key in self.done

    def job(self, model: str, values: Values) -> Job:
        """The search that ``values`` describe."""
        own, start = self.settings, values.get("start")
        return Job(
            "searched",
            model,
            values,
            own.evaluation,
            own.baselines,
            own.resources.device,
            None if start is None else starting_table(str(start)),
        )

    def died(self, trial_id: str, reason: str) -> None:
        """Note why a worker is gone, before ``on_trial_complete``."""
        self.reasons[trial_id] = reason

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Write the outcome down and tell the study."""
        del result  # without its outcome, see Delivery
        with self.kept():
            self.complete(trial_id, error)

    def complete(self, trial_id: str, error: bool) -> None:
        """As of ``on_trial_complete``."""
        outcome = self.outcomes.pop(trial_id, None)
        if not error and (outcome is None or self.cut_short(outcome)):
            return  # stopped from outside; the sweep requeues what its studies still see running
        job, number = self.jobs.pop(trial_id)
        now = time.monotonic()
        seconds = now - self.started.pop(trial_id, now)
        if outcome is None or (error and not outcome.error):  # it may have got to some rungs
            death = self.death(trial_id, job, seconds)
            if death is None:
                self.again.append((job, number))
                return
            outcome = Outcome(error=death, seconds=seconds)
        self.budget.durations.append(seconds)
        if number is not None:
            self.studies[job.model].created(number)
        self.ended(job, number, outcome)
        if number is None:
            return
        study = self.studies[job.model]
        if outcome.results:
            study.complete(number, outcome.results[0].row)
        else:
            study.fail(number, outcome.error or "no result")

    def cut_short(self, outcome: Outcome) -> bool:
        """Whether a trial stopped at a rung because time was up, hopeless or not."""
        left = self.budget.seconds_left
        late = left is not None and left <= 0
        return late and bool(outcome.results) and outcome.results[0].row.stopped

    def death(self, trial_id: str, job: Job, seconds: float) -> str | None:
        """Why a job whose worker is gone has failed; None where it deserves another attempt."""
        reason, limit = self.reasons.pop(trial_id, "no reason given"), self.settings.trial_seconds
        if limit is not None and seconds >= limit:
            return f"took longer than trial_seconds, which is {limit:g}"
        what, most = ("node", LOSSES) if node_lost(reason) else ("worker", ATTEMPTS)
        self.deaths[job.key, what] += 1
        if self.deaths[job.key, what] < most:
            return None
        return f"the {what} died {most} times ({reason})"

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher for a restore that this package does without."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the studies and the rows are the state, and they lie on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


def node_lost(reason: str) -> bool:
    """Whether a worker died with its node."""
    return any(words in reason for words in NODE_LOST)


class Delivery(Callback):
    """Takes outcomes out of Tune's results, which it keeps of all trials, pictures and all.

    Args:
        outcomes: where they go, by the trial's id.
        started: where the monotonic time goes at which a trial has a worker, by the trial's id.
        calm: set while Tune waits for its trials.
    """

    def __init__(
        self, outcomes: dict[str, Outcome], started: dict[str, float], calm: Event
    ) -> None:
        self.outcomes, self.started, self.calm, self.heard = outcomes, started, calm, False

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks too."""
        return {}

    def hear(self) -> None:
        """Something happens, and perhaps more that Tune takes up next."""
        self.heard = True
        self.calm.clear()

    def on_step_end(self, iteration: int, trials: Any, **_: Any) -> None:
        """Of Tune's loop; it takes up one event each time."""
        del iteration, trials
        if not self.heard:
            self.calm.set()
        self.heard = False

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """The time before that it waited for room."""
        del iteration, trials
        self.hear()
        self.started[trial.trial_id] = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """Before Tune keeps ``result``."""
        del iteration, trials
        self.hear()
        if OUTCOME in result:
            self.outcomes[trial.trial_id] = Outcome.model_validate_json(result.pop(OUTCOME))
