import pytest

from dss_ray.errors import UsageError
from dss_ray.records.rows import append_row
from dss_ray.records.runs import list_sweeps, sweep_rows


@pytest.fixture
def root(tmp_path, row):
    for name, new in (("digits", row()), ("shapes", row(status="failed", error="x", nfe=8))):
        append_row(tmp_path / name / "rows.jsonl", new)
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_each_sweep_with_rows_is_listed_with_its_counts(root):
    listed = [(s["name"], s["models"], s["nfe"], s["done"], s["failed"]) for s in list_sweeps(root)]
    assert listed == [("digits", ["m"], [5], 1, 0), ("shapes", ["m"], [8], 0, 1)]


def test_an_unknown_sweep_names_the_nearest_and_all(root, row):
    assert sweep_rows(root, "digits") == [row()]
    with pytest.raises(UsageError, match="unknown sweep 'digts'; did you mean 'digits'"):
        sweep_rows(root, "digts")
    with pytest.raises(UsageError, match="none yet"):
        sweep_rows(root / "nowhere", "digits")
