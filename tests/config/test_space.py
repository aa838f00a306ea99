"""Spaces and settings: what is read, and what is refused with place, finding and remedy."""

from pathlib import Path

import pytest

from dss_ray.config.read import load_sweep, plan_sweep, space_names
from dss_ray.config.space import parse_space
from dss_ray.errors import FileError, UsageError

GOOD = """
models: [digits-sit]
search: {nfe: {choice: [3, 4]}, method: least-squares}
baselines: {methods: [ab2], grids: [uniform]}
"""


def write(folder: Path, text: str) -> str:
    path = folder / "space.yaml"
    path.write_text(text)
    return str(path)


READY = ("digits", "digits-dit")  # their models ship
LATER = sorted(set(space_names()) - set(READY))


@pytest.mark.parametrize("name", READY)
def test_spaces_of_shipped_models_are_valid(name: str) -> None:
    assert load_sweep(name).name == name
    assert plan_sweep(name)[1] == []


@pytest.mark.parametrize("name", LATER)
def test_other_spaces_lack_nothing_but_the_files_that_they_name(name: str) -> None:
    settings, absent = plan_sweep(name)
    assert settings.name == name
    assert all(path.startswith("/path/to/") for _, path in absent)
    assert any(key.startswith("model_options.") for key, _ in absent)
    with pytest.raises(FileError, match=r"files that are not there: .*--set KEY=PATH"):
        load_sweep(name)


def test_a_path_is_set_by_its_key_and_no_longer_missed(tmp_path: Path) -> None:
    weights = tmp_path / "SiT.pt"
    weights.touch()
    settings, absent = plan_sweep("sit_xl_256", {"model_options.sit-xl-256.path": str(weights)})
    assert str(weights) in settings.models[0]
    assert str(weights) in str(settings.search["search_model"])
    assert "model_options.sit-xl-256.path" not in {key for key, _ in absent}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("{digits-dit: {a: 1}}", "digits-dit is named neither"),
        ("{digits-sit: {a: 1}}", "takes no options, got 'a'"),
        ("[digits-sit]", "expected a mapping of models"),
        ("{digits-sit: 3}", "expected a mapping of models"),
    ],
)
def test_options_of_models_are_checked(tmp_path: Path, options: str, expected: str) -> None:
    path = write(tmp_path, f"{GOOD}\nmodel_options: {options}\n")
    with pytest.raises(UsageError, match=expected):
        plan_sweep(path)


def test_options_follow_the_models_name_wherever_it_stands(tmp_path: Path) -> None:
    text = GOOD.replace("nfe:", "search_model: {choice: [digits-sit, sit-s-256]}, nfe:")
    path = write(tmp_path, f"{text}\nmodel_options: {{sit-s-256: {{path: /nowhere/a.pt}}}}\n")
    settings, absent = plan_sweep(path)
    assert settings.models == ("digits-sit",)
    choice = settings.search["search_model"]["choice"]
    assert choice == ["digits-sit", "sit-s-256?path=/nowhere/a.pt"]
    assert absent == [("model_options.sit-s-256.path", "/nowhere/a.pt")]


def test_the_name_is_the_files_stem_unless_the_file_or_an_override_says_otherwise(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, GOOD)
    assert load_sweep(path).name == "space"
    assert load_sweep(path, {"name": "other", "evaluation.samples": 64}).evaluation.samples == 64


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("models:", "model:", "'model'; did you mean 'models'"),
        ("digits-sit", "digit-sit", "did you mean 'digits-sit'"),
        ("least-squares", "least-square", "did you mean 'least-squares'"),
        ("uniform", "unifrom", "did you mean 'uniform'"),
        ("[ab2]", "[ab22]", "did you mean 'ab2'"),
        ("[ab2]", "[heun]", "none of heun has a solver of 3 queries"),
        ("nfe:", "nfes: 3, nfe:", "did you mean 'nfe'"),
        ("choice", "choices", "did you mean 'choice'"),
        ("[3, 4]", "[3, four]", "search.nfe.choice: expected int, got 'four'"),
        ("{choice: [3, 4]}", "{range: [4, 3]}", "low < high"),
        ("{choice: [3, 4]}", "{range: [3, 4], choice: [3]}", "either choice or range"),
        ("methods", "method", "baselines"),
        ("models:", "constraints: {speed: 1}\nmodels:", "constraints"),
        (
            "models:",
            "constraints: {rmse: -1}\nmodels:",
            "rmse: input should be greater than 0",
        ),
        ("nfe:", "start: flow-sit-5, nfe:", "'flow-sit-5' has 5 queries and the searches 3, 4"),
        ("nfe:", "start: nowhere.json, nfe:", "search.start: nowhere.json"),
        ("nfe:", "start: ab22, nfe:", "did you mean 'ab2'"),
        ("[digits-sit]", "[]", "models"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_nearest_match(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        load_sweep(path)
    assert expected in str(caught.value)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["models: [", "- a\n- b", "", "\x00"])
def test_what_is_no_mapping_of_settings_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(FileError, match=r"space\.yaml"):
        load_sweep(write(tmp_path, text))


def test_an_unknown_shipped_space_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        load_sweep("digit")


def test_a_published_table_starts_searches_of_its_step_count(tmp_path: Path) -> None:
    start = "start: {choice: [flow-sit-5, ab2], when: {nfe: 5}}, nfe:"
    text = GOOD.replace("nfe:", start, 1).replace("[3, 4]", "[3, 5]")
    (name,) = [one for one in load_sweep(write(tmp_path, text)).space() if one.name == "start"]
    assert name.choices == ("flow-sit-5", "ab2")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileError, match=r"nowhere\.yaml"):
        load_sweep("nowhere.yaml")


def test_a_condition_on_an_unknown_key_is_refused() -> None:
    space = {"nfe": 3, "ridge": {"choice": [1e-3], "when": {"method": "gradient"}}}
    with pytest.raises(UsageError, match="when"):
        parse_space(space, "search")


def test_yaml_true_is_no_number() -> None:
    with pytest.raises(UsageError, match="expected int, got True"):
        parse_space({"nfe": True}, "search")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nfe: {range: [1, 1000000000]}", "search.nfe"),
        ("nfe: 3, guidance: .nan", "search.guidance: expected a finite number"),
        ("nfe: 3, guidance: {range: [1, .inf]}", "search.guidance.range"),
        ("nfe: 3, samples: 0", "search.samples"),
        ("nfe: 3, learning_rate: -1.0", "search.learning_rate"),
        ("nfe: 2024-99-99", "no valid YAML"),
    ],
)
def test_a_number_that_no_search_can_use_is_refused_before_anything_runs(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = write(tmp_path, GOOD.replace("nfe: {choice: [3, 4]}", text))
    with pytest.raises(UsageError) as caught:
        load_sweep(path)
    assert expected in str(caught.value)
