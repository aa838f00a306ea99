"""What the driver keeps in memory of a study is what the database holds."""

import math

import optuna
import pytest

from dss_ray.config.space import parse_space
from dss_ray.tune.samplers import Chooser
from dss_ray.tune.storage import open_storage
from dss_ray.tune.study import Study

SPACE = {
    "nfe": {"choice": [4, 5]},
    "method": {"choice": ["least-squares", "gradient"]},
    "learning_rate": {"range": [1e-3, 1e-1], "log": True, "when": {"method": "gradient"}},
    "samples": 64,
}


def opened(folder, sampler="tpe") -> Study:
    return Study(open_storage(folder), "model", parse_space(SPACE, "search"), Chooser(sampler))


def facts(trials) -> list[tuple]:
    return [
        (t.number, t.state, t.params, t.distributions, t.values, t.user_attrs, t.system_attrs)
        for t in trials
    ]


def in_the_database(study, folder) -> optuna.Study:
    study.flush()
    return optuna.load_study(study_name="model", storage=open_storage(folder))


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp", "random"])
def test_the_database_holds_what_the_study_remembers(tmp_path, row, sampler):
    study, seen = opened(tmp_path, sampler), set()
    for turn in range(14):
        number, values = study.ask(lambda values: str(values) in seen)
        seen.add(str(values))
        if turn % 4 == 3:
            study.fail(number, "NaN")
        elif turn % 4 != 2:
            study.complete(number, row(fid=math.sin(turn)))
    theirs = in_the_database(study, tmp_path)
    assert facts(study.study.trials) == facts(theirs.trials)
    assert study.study.user_attrs == theirs.user_attrs != {}
    assert {t.state.name for t in theirs.trials} == {"COMPLETE", "FAIL", "RUNNING"}


def test_a_trial_that_waits_again_is_drawn_first_and_keeps_its_number(tmp_path, row):
    study = opened(tmp_path)
    drawn = [study.ask(lambda _: False) for _ in range(6)]
    for number, _ in drawn[2:]:
        study.complete(number, row())
    study.requeue()
    assert [study.ask(lambda _: False) for _ in range(2)] == drawn[:2]
    assert facts(study.study.trials) == facts(in_the_database(study, tmp_path).trials)


def test_another_process_goes_on_where_the_database_stands(tmp_path, row):
    first = opened(tmp_path)
    for turn in range(5):
        first.complete(first.ask(lambda _: False)[0], row(fid=float(turn)))
    kept = first.ask(lambda _: False)
    first.flush()
    again = opened(tmp_path)
    assert facts(again.study.trials) == facts(first.study.trials)
    again.requeue()
    assert again.ask(lambda _: False) == kept
    assert again.ask(lambda _: False)[0] == kept[0] + 1


def test_nothing_follows_what_the_database_refuses(tmp_path, monkeypatch, row):
    study = opened(tmp_path)
    for _ in range(4):
        number, _ = study.ask(lambda _: False)  # those that wait are in it
    study.flush()

    def refuse(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(study.storage.database, "create_new_trial", refuse)
    refused, _ = study.ask(lambda _: False)
    for again in (
        lambda: study.created(refused),
        lambda: study.ask(lambda _: False),
        lambda: study.complete(number, row()),
        study.flush,
    ):
        with pytest.raises(OSError, match="No space"):
            again()
    theirs = optuna.load_study(study_name="model", storage=open_storage(tmp_path)).trials
    assert [trial.state.name for trial in theirs] == ["RUNNING"] * 4


def test_a_trial_is_in_the_database_before_its_row_is_written(tmp_path):
    study = opened(tmp_path)
    for _ in range(6):
        number, _ = study.ask(lambda _: False)
        study.created(number)
        theirs = optuna.load_study(study_name="model", storage=open_storage(tmp_path)).trials
        assert theirs[number].state.name == "RUNNING"
