import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from dss_ray.errors import FileError
from dss_ray.records.rows import Row, append_row, distance_name, read_rows


def test_a_row_comes_back_from_the_file_as_it_went(tmp_path, row):
    full = row(
        trial=3, params={"nfe": 5, "log": True, "rate": 0.1, "grid": "cosine", "x": None},
        fid_values=[1.5, 2.5], fid_spread=0.1 + 0.2, evaluations=24000, bundle="b/1.json",
    )  # fmt: skip
    append_row(tmp_path / "rows.jsonl", full)
    assert read_rows(tmp_path / "rows.jsonl") == [full]


def test_the_last_row_of_an_identity_wins_and_keeps_its_place(tmp_path, row):
    path = tmp_path / "rows.jsonl"
    for new in (row("a", fid=1.0), row("b"), row("a", fid=3.0), row("a", guidance=2.0)):
        append_row(path, new)
    assert [(r.key, r.fid, r.guidance) for r in read_rows(path)] == [
        ("a", 3.0, 1.0), ("b", 2.0, 1.0), ("a", 2.0, 2.0),
    ]  # fmt: skip


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_a_torn_last_line_is_ignored_and_the_next_row_replaces_it(tmp_path, cut, row):
    path = tmp_path / "rows.jsonl"
    append_row(path, row("a"))
    path.write_bytes(path.read_bytes() + row("torn").model_dump_json().encode()[:cut])
    assert [r.key for r in read_rows(path)] == ["a"]
    append_row(path, row("b"))
    assert [r.key for r in read_rows(path)] == ["a", "b"]


@pytest.mark.parametrize("damage", [b"{broken", b"{}", b"null", b"\xff\xfe", b""])
def test_a_corrupt_middle_line_is_refused_with_file_and_number(tmp_path, damage, row):
    path = tmp_path / "rows.jsonl"
    good = row().model_dump_json().encode()
    path.write_bytes(b"\n".join([good, damage, good, b""]))
    with pytest.raises(FileError, match=r"rows\.jsonl, line 2: expected one result"):
        read_rows(path)


def test_a_missing_file_has_no_rows_but_a_missing_folder_is_an_error(tmp_path):
    assert read_rows(tmp_path / "rows.jsonl") == []
    with pytest.raises(FileError, match="no such folder"):
        read_rows(tmp_path / "nowhere" / "rows.jsonl")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
@pytest.mark.parametrize("name", ["fid", "rmse", "evaluations"])
def test_a_figure_that_is_not_finite_makes_the_row_a_failure(name, value, row):
    diverged = row(**{name: value})
    assert diverged.status == "failed" and getattr(diverged, name) is None
    assert name in diverged.error
    assert "NaN" not in diverged.model_dump_json()


def test_distances_that_are_not_finite_leave_no_values(row):
    diverged = row(fid_values=[1.0, math.nan])
    assert (diverged.status, diverged.fid_values) == ("failed", [])
    assert "fid_values" in diverged.error


def test_the_reason_of_a_failure_is_kept(row):
    assert row(status="failed", fid=math.nan, error="step 3 blew up").error == "step 3 blew up"


@pytest.mark.parametrize(
    "wrong",
    [{"fidd": 1.0}, {"guidance": math.nan}, {"status": "failed"}, {"searched": False},
     {"kind": "guessed"}],
)  # fmt: skip
def test_rows_that_cannot_be_are_refused(wrong, row):
    with pytest.raises(ValidationError):
        row(**wrong)


def test_searched_follows_the_kind_and_rows_are_frozen(row):
    assert row().searched and not row(kind="published").searched
    with pytest.raises(ValidationError, match="frozen"):
        row().fid = 1.0


def test_a_row_has_the_promised_columns(row):
    promised = "trial status model nfe kind searched solver guidance method grid fid fid_spread"
    promised += " features samples rmse evaluations seconds bundle"
    assert (
        set(promised.split()) <= set(json.loads(row().model_dump_json())) == set(Row.model_fields)
    )


def test_only_inceptions_distance_is_plain_fid():
    assert distance_name("inception") == "FID" and distance_name("digits-cnn") == "FID[digits-cnn]"
