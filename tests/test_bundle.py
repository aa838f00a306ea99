import json
from datetime import UTC, datetime

import jsonschema
import pytest
import torch

from dss_ray.bundle import (
    Bundle,
    SearchProvenance,
    json_schema,
    load_bundle,
    save_bundle,
    software_versions,
)
from dss_ray.errors import FileError
from dss_ray.solver.table import FIELDS, SolverTable


def table(nfe=5):
    generator = torch.Generator().manual_seed(nfe)
    numbers = torch.randn(nfe + 2, nfe, generator=generator, dtype=torch.float64)
    knots = torch.linspace(0, 1, nfe + 1, dtype=torch.float64) ** 1.7
    start, weights = numbers[0] * 1e-300, numbers[2:].tril() / 3
    return SolverTable(knots[:-1], start, weights, knots, free=True)


def bundle(**change):
    search = SearchProvenance(
        method="least-squares+gradient",
        grid="power:1.3",
        start="ab2",
        seed=7,
        samples=256,
        settings={"ridge": 1e-5, "objective": "end"},
        evaluations=1280,
        seconds=0.4,
        reference_evaluations=10_000,
        reference_seconds=3.25,
        history={"least-squares": ((5, 0.03),), "gradient": ((0, 0.02), (10, 0.01))},
    )
    fields = {
        "name": "digits-5",
        "table": table(),
        "guidance": 1.5,
        "model": "digits-sit",
        "model_fingerprint": "ab" * 32,
        "search": search,
        "metrics": {"rmse": 0.1 + 0.2, "fid": {"mean": 1.5, "spread": None, "values": [1.5]}},
        "versions": software_versions(),
        "created": datetime(2026, 11, 1, 12, 30, 0, 123, tzinfo=UTC),
    }
    return Bundle(**(fields | change))


@pytest.fixture
def path(tmp_path):
    save_bundle(bundle(), tmp_path / "solver.json")
    return tmp_path / "solver.json"


def test_a_file_gives_back_every_bit(path):
    loaded, saved = load_bundle(path), bundle()
    for name in FIELDS:
        assert torch.equal(getattr(loaded.table, name), getattr(saved.table, name))
    assert loaded.model_dump_json() == saved.model_dump_json()
    assert loaded.search == saved.search


def test_guidance_may_differ_from_step_to_step(tmp_path):
    scales = (1.0, 1.5, 2.0, 2.5, 0.1)
    save_bundle(bundle(guidance=scales), tmp_path / "solver.json")
    assert load_bundle(tmp_path / "solver.json").guidance == scales


def test_a_classical_solver_needs_no_search(tmp_path):
    save_bundle(bundle(search=None), tmp_path / "solver.json")
    assert load_bundle(tmp_path / "solver.json").search is None


def test_a_file_satisfies_the_published_schema(path):
    document = json.loads(path.read_text())
    jsonschema.validate(document, json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | {"table": {}}, json_schema())


def test_saving_leaves_nothing_else_and_makes_the_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "solver.json"
    save_bundle(bundle(), path)
    save_bundle(bundle(name="second"), path)
    assert load_bundle(path).name == "second"
    assert list(path.parent.iterdir()) == [path]


def test_a_save_that_fails_keeps_the_old_file(path, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileError, match=r"cannot write the bundle .*No space left"):
        save_bundle(bundle(name="second"), path)
    assert load_bundle(path).name == "digits-5"
    assert list(path.parent.iterdir()) == [path]


def test_versions_name_the_software():
    assert software_versions()["torch"].split("+")[0] == torch.__version__.split("+")[0]


@pytest.mark.parametrize("field", ["metrics", "guidance"])
def test_nan_never_enters_a_bundle(field):
    with pytest.raises(ValueError, match=field):
        bundle(**{field: {"metrics": {"rmse": float("nan")}, "guidance": float("inf")}[field]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "bundle schema 2 is newer than 1.*update dss_ray"),
        ({"schema_version": "1"}, "invalid bundle, schema_version"),
        ({"guidance": [1.0, 2.0]}, "expected one guidance scale or 5, got 2"),
        ({"guidance": "strong"}, "invalid bundle, guidance"),
        ({"table": {"times": [0.0]}}, r"table: solver table: expected the fields"),
        ({"table": 3}, "invalid bundle, table"),
        ({"colour": "red"}, "invalid bundle, colour: Extra inputs are not permitted"),
        ({"created": "yesterday"}, "invalid bundle, created"),
        ({"search": {}}, r"search.method: Field required \(and 10 more\)"),
    ],
)
def test_a_wrong_field_is_refused_by_name(path, change, message):
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FileError, match=rf"solver\.json: .*{message}"):
        load_bundle(path)


@pytest.mark.parametrize(("row", "value"), [("times", 2.0), ("knots", -0.5), ("start", 1e400)])
def test_an_invalid_table_is_refused(path, row, value):
    document = json.loads(path.read_text())
    document["table"][row][2] = value
    path.write_text(json.dumps(document))
    with pytest.raises(FileError, match=r"solver\.json"):
        load_bundle(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"\x80\x04K\x01.", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[1, 2]", "no schema_version"),
        (b'{"times": []}', "no schema_version"),
        (b'{"schema_version": NaN}', "no JSON"),
    ],
)
def test_a_foreign_file_is_refused(path, content, message):
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"solver\.json: .*{message}"):
        load_bundle(path)


def test_a_file_cut_anywhere_is_refused(path):
    whole = path.read_bytes().rstrip()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(FileError, match="no JSON"):
            load_bundle(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(FileError, match="cannot read the bundle"):
            load_bundle(path)
