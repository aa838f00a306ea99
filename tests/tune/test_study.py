"""The study behind a sweep: budget, duplicates, conditions, interruption."""

from pathlib import Path

import pytest

from dss_ray.config.space import parse_space
from dss_ray.errors import FileError
from dss_ray.records.rows import Row
from dss_ray.tune.samplers import SAMPLERS, Chooser
from dss_ray.tune.storage import open_storage
from dss_ray.tune.study import Study

FINITE = {"nfe": {"choice": [3, 4]}, "guidance": {"choice": [1.0, 2.0]}, "grid": "uniform"}


def open_study(folder: Path, space: dict = FINITE, sampler: str = "tpe") -> Study:
    return Study(open_storage(folder), "model", parse_space(space, "search"), Chooser(sampler))


def done(nfe: int, fid: float, **more: object) -> Row:
    """The row of a finished trial."""
    own = {"key": "a", "status": "done", "model": "model", "kind": "searched", "solver": "some"}
    return Row(**(own | {"nfe": nfe, "fid": fid, "guidance": 1.0} | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_finite_space_is_visited_once_and_then_exhausted(tmp_path: Path, sampler: str) -> None:
    study, seen = open_study(tmp_path, sampler=sampler), []
    while (asked := study.ask(lambda values: values in seen)) is not None:
        seen.append(asked[1])
        study.complete(asked[0], done(asked[1]["nfe"], 1.0))
    assert len(seen) == 4
    assert study.finished() == 4


CONDITIONAL = {
    "nfe": {"choice": [3, 4, 5, 6]},
    "method": {"choice": ["least-squares", "gradient"]},
    "learning_rate": {"range": [1e-3, 1e-1], "log": True, "when": {"method": "gradient"}},
    "ridge": {"range": [1e-6, 1e-2], "log": True},
}


def proposals(folder: Path, sampler: str, count: int, reopen: bool) -> list[dict]:
    """What a study proposes, its figures made up, opened again before each if wanted."""
    study, found = open_study(folder, CONDITIONAL, sampler), []
    for _ in range(count):
        if reopen:
            study = open_study(folder, CONDITIONAL, sampler)
        number, values = study.ask(lambda values: values in found)
        found.append(values)
        study.complete(number, done(values["nfe"], float(values["ridge"]) + number % 3))
    return found


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp", "random"])
def test_a_restored_study_proposes_what_it_would_have_proposed(
    tmp_path: Path, sampler: str
) -> None:
    folders = tmp_path / "whole", tmp_path / "restored"
    for folder in folders:
        folder.mkdir()
    whole = proposals(folders[0], sampler, 16, reopen=False)
    assert proposals(folders[1], sampler, 16, reopen=True) == whole
    assert len({values["ridge"] for values in whole}) > 8


def test_a_grid_goes_through_its_points_in_order(tmp_path: Path) -> None:
    study, seen = open_study(tmp_path, sampler="grid"), []
    for _ in range(4):
        seen.append(study.ask(lambda values: values in seen)[1])
    assert [(values["nfe"], values["guidance"]) for values in seen] == [
        (3, 1.0), (3, 2.0), (4, 1.0), (4, 2.0)
    ]  # fmt: skip


def test_the_first_trials_take_the_defaults_at_every_nfe_and_guidance(tmp_path: Path) -> None:
    space = FINITE | {
        "method": {"choice": ["gradient", "least-squares"]},
        "space": {"choice": ["data", "velocity", "ab2", "ab3"], "when": {"method": "gradient"}},
        "ridge": {"range": [1e-6, 1e-2], "log": True},
        "samples": {"choice": [64, 32], "when": {"method": "least-squares"}},
    }
    study = open_study(tmp_path, space)
    first = [study.ask(lambda values: False)[1] for _ in range(4)]
    assert {(values["nfe"], values["guidance"]) for values in first} == {
        (3, 1.0), (3, 2.0), (4, 1.0), (4, 2.0)
    }  # fmt: skip
    assert all(values["ridge"] == pytest.approx(1e-4) for values in first)
    assert all((values["method"], values["space"]) == ("gradient", "data") for values in first)
    assert not any("samples" in values for values in first)


def test_a_key_appears_only_where_its_condition_holds(tmp_path: Path) -> None:
    space = {
        "nfe": {"choice": [3, 4, 5, 6]},
        "method": {"choice": ["least-squares", "gradient"]},
        "learning_rate": {"range": [1e-3, 1e-1], "log": True, "when": {"method": "gradient"}},
    }
    study = open_study(tmp_path, space)
    drawn = [study.ask(lambda values: False)[1] for _ in range(20)]
    assert {values["method"] for values in drawn} == {"least-squares", "gradient"}
    assert all(("learning_rate" in v) == (v["method"] == "gradient") for v in drawn)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_interrupted_trials_come_again_under_their_numbers(tmp_path: Path, sampler: str) -> None:
    study = open_study(tmp_path, sampler=sampler)
    asked = [study.ask(lambda _: False) for _ in range(3)]
    study.complete(asked[1][0], done(3, 1.0))
    study.flush()
    resumed = open_study(tmp_path, sampler=sampler)
    resumed.requeue()
    assert resumed.finished() == 1
    assert "RUNNING" not in {trial.state.name for trial in resumed.study.trials}
    assert [resumed.ask(lambda _: False) for _ in range(2)] == [asked[0], asked[2]]


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_trial_killed_while_it_was_drawn_is_drawn_to_its_end(tmp_path: Path, kept: int) -> None:
    """Some of its values were written; the others are those that an undisturbed study draws."""
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    study = open_study(tmp_path / "killed", CONDITIONAL)
    whole = open_study(tmp_path / "whole", CONDITIONAL)
    for _ in range(6):
        for one in (study, whole):
            number, values = one.ask(lambda _: False)
            one.complete(number, done(values["nfe"], float(values["ridge"])))
    expected = whole.ask(lambda _: False)
    study.space = study.space[:kept]
    study.draw()
    study.flush()
    resumed = open_study(tmp_path / "killed", CONDITIONAL)
    resumed.requeue()
    number, values = resumed.ask(lambda _: False)
    assert number == expected[0]
    assert list(values.items())[:kept] == list(expected[1].items())[:kept]
    assert set(values) >= {"nfe", "method", "ridge"}
    assert resumed.ask(lambda _: False)[0] == number + 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_point_that_was_queued_but_not_drawn_is_drawn_once(tmp_path: Path, sampler: str) -> None:
    """A process may be killed, or the disk be full, between the two."""
    study, seen = open_study(tmp_path, sampler=sampler), []
    for _ in range(2):
        seen.append(study.ask(lambda values: values in seen)[1])
    study.draw = lambda: 1 / 0  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            study.ask(lambda values: values in seen)
    study.flush()
    resumed = open_study(tmp_path, sampler=sampler)
    while (asked := resumed.ask(lambda values: values in seen)) is not None:
        seen.append(asked[1])
    assert len(seen) == 4
    if sampler == "grid":
        assert len(resumed.study.trials) == 4


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_sampler_keeps_away_from_what_breaks_a_constraint(tmp_path: Path, sampler: str) -> None:
    space = {"nfe": 3, "ridge": {"range": [0.1, 1.0]}}
    chooser = Chooser(sampler, objectives=("fid",), constraints={"rmse": 0.5, "seconds": 60.0})
    study = Study(open_storage(tmp_path), "model", parse_space(space, "search"), chooser)
    drawn = []
    for _ in range(40):  # the distance is the better the more the constraint is broken
        number, values = study.ask(lambda _: False)
        drawn.append(ridge := float(values["ridge"]))
        study.complete(number, done(3, 1 - ridge, rmse=ridge, seconds=1.0))
    assert study.study.trials[0].constraints == pytest.approx(
        {"rmse": drawn[0] - 0.5, "seconds": -59.0}
    )
    late = drawn[20:]
    assert sum(ridge <= 0.51 for ridge in late) > len(late) / 2
    assert study.study.best_trial.params["ridge"] <= 0.5


def test_a_failed_trial_counts_against_the_budget_with_its_reason(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    number, _ = study.ask(lambda _: False)
    study.fail(number, "diverged")
    assert study.finished() == 1
    assert "diverged" in study.study.user_attrs.values()


def test_a_corrupt_database_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database at all, but long enough to look like one")
    with pytest.raises(FileError, match=r"study\.db"):
        open_study(tmp_path)


@pytest.mark.parametrize("objectives", [("nfe", "fid"), ("fid",), ("nfe", "rmse", "evaluations")])
def test_what_is_minimised_is_what_was_asked_for(tmp_path: Path, objectives: tuple) -> None:
    space = parse_space(FINITE, "search")
    study = Study(open_storage(tmp_path), "model", space, Chooser(objectives=objectives))
    row = done(3, 0.5, rmse=0.01, evaluations=100)
    study.complete(study.ask(lambda _: False)[0], row)
    study.complete(study.ask(lambda _: False)[0], done(3, 0.5, rmse=float("nan")))
    first, second, *_ = study.study.trials
    assert first.values == [getattr(row, name) for name in objectives]
    assert second.state.name == "FAIL"
    assert "rmse not finite" in study.study.user_attrs["error 1"]


def test_a_row_that_was_written_before_the_database_failed_is_settled(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    number, _ = study.ask(lambda _: False)
    study.requeue()
    study.settle(number, done(3, 0.5))
    assert study.study.trials[number].values == [3.0, 0.5]
    assert study.ask(lambda _: False)[0] == number + 1


def test_a_row_whose_trial_was_never_drawn_is_of_another_database(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"study model: trial 1 of rows\.jsonl is not in it"):
        open_study(tmp_path).settle(1, done(3, 0.5))


def test_a_finalist_counts_with_its_selection_distance(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    number, _ = study.ask(lambda _: False)
    study.settle(number, done(3, 0.7, selection_fid=0.5, final=True))
    assert study.study.trials[number].values == [3.0, 0.5]
