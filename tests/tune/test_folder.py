"""A sweep's folder: whose it is, and what may change in it."""

import json

import pytest

from dss_ray.config.sweep import Baselines, SweepSettings
from dss_ray.errors import FileError, UsageError
from dss_ray.tune.folder import MANIFEST, freeze, place


def settings(**changes):
    own = {"baselines": Baselines(methods=("ab2",), grids=("uniform",)), "search": {"nfe": 5}}
    return SweepSettings(**({"name": "night", "models": ("digits-sit",)} | own | changes))


@pytest.fixture
def frozen(tmp_path, monkeypatch):
    """The manifest of a sweep that has begun."""
    monkeypatch.chdir(tmp_path)
    folder = place(settings(), resume=False)
    folder.mkdir(parents=True)
    freeze(folder, settings())
    return folder / MANIFEST


def test_the_same_settings_resume_and_budgets_may_change(frozen):
    assert place(settings(), resume=True) == frozen.parent.relative_to(frozen.parents[2])
    place(settings(trials=99, evaluation_budget=5, trial_seconds=3.0), resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_other_settings_are_shown_as_a_difference(frozen, resume):
    other = settings(search={"nfe": {"choice": [4, 5]}, "grid": "uniform"}, seed=3)
    with pytest.raises(UsageError) as caught:
        place(other, resume)
    said = str(caught.value)
    assert "seed was 0 and is 3" in said
    assert 'search.nfe was 5 and is {"choice": [4, 5]}' in said
    assert 'search.grid was "absent" and is "uniform"' in said
    assert "trials" not in said.partition("only")[0]


def test_an_earlier_versions_settings_count_as_the_defaults(frozen):
    document = json.loads(frozen.read_text())
    del document["settings"]["sampler"]
    frozen.write_text(json.dumps(document))
    place(settings(), resume=True)


def test_what_is_missing_or_unreadable_is_named(frozen):
    with pytest.raises(UsageError, match="nothing to resume"):
        place(settings(name="day"), resume=True)
    with pytest.raises(UsageError, match="add --resume"):
        place(settings(), resume=False)
    frozen.write_text("{")
    with pytest.raises(FileError, match="no readable settings"):
        place(settings(), resume=True)


def test_results_of_two_versions_are_not_mixed(frozen):
    document = json.loads(frozen.read_text())
    document["versions"]["dss_ray"] = "0.0.1"
    frozen.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"begun by dss_ray 0\.0\.1.*new --name"):
        place(settings(), resume=True)
