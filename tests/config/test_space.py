"""Spaces and settings: what is read, and what is refused with place, finding and remedy."""

from pathlib import Path

import pytest

from dss_ray.config.read import load_sweep, space_names
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


@pytest.mark.parametrize("name", space_names())
def test_every_shipped_space_is_valid(name: str) -> None:
    assert load_sweep(name).name == name


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
        ("nfe:", "nfes: 3, nfe:", "did you mean 'nfe'"),
        ("choice", "choices", "did you mean 'choice'"),
        ("[3, 4]", "[3, four]", "search.nfe.choice: expected int, got 'four'"),
        ("{choice: [3, 4]}", "{range: [4, 3]}", "low < high"),
        ("{choice: [3, 4]}", "{range: [3, 4], choice: [3]}", "either choice or range"),
        ("methods", "method", "baselines"),
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
