import json
import os
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import jsonschema
import pytest
import torch

from dss_ray.bundle import (
    Bundle,
    Measured,
    SearchProvenance,
    SweepProvenance,
    content_hash,
    json_schema,
    load_bundle,
    save_bundle,
    software_versions,
)
from dss_ray.bundle.file import LARGEST
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
        "sweep": SweepProvenance(
            name="night", id="c0ffee", model="digits-sit", trial=3, key="ab12", mlflow_run=None
        ),
        "metrics": {
            "rmse": Measured.of([0.1 + 0.2]),
            "fid": Measured.of([1.5, 2.5], samples=2000, seeds=[1, 2], domain="evaluation"),
        },
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
    wrong = {"table": {}}, {"metrics": {"rmse": 0.1}}, {"content_hash": "0"}, {"colour": "red"}
    for change in wrong:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | change, json_schema())


def test_the_schema_in_the_documents_is_the_one_that_holds():
    """`dss-ray schema bundle > docs/bundle.schema.json` makes it so."""
    written = (Path(__file__).parents[2] / "docs" / "bundle.schema.json").read_text()
    assert json.loads(written) == json_schema()
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_hash_is_that_of_the_content_however_it_is_laid_out(path):
    document = json.loads(path.read_text())
    assert document["content_hash"] == content_hash(bundle())
    path.write_text(json.dumps(document, indent=4, sort_keys=True))
    assert content_hash(load_bundle(path)) == document["content_hash"]
    del document["content_hash"]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    assert content_hash(bundle()) == "sha256:" + sha256(text.encode()).hexdigest()


CHANGES = {
    "weight": lambda document: document["table"]["weights"][3].__setitem__(2, 0.25),
    "guidance": lambda document: document.update(guidance=2.0),
    "figure": lambda document: document["metrics"]["fid"].update(mean=0.01),
    "model": lambda document: document.update(model_fingerprint="cd" * 32),
    "no hash": lambda document: document.pop("content_hash"),
    "wrong kind of hash": lambda document: document.update(content_hash=3),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_changed_by_hand_is_refused_unless_that_is_meant(path, change, tmp_path):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(FileError, match=rf"changed since.*dss-ray export {path} --edited"):
        load_bundle(path)
    meant = load_bundle(path, edited=True)
    assert meant.edited and meant.metrics == {}
    assert meant.table.to_json() == document["table"]
    save_bundle(meant, tmp_path / "meant.json")
    assert load_bundle(tmp_path / "meant.json").edited


def test_an_unchanged_file_keeps_its_figures_where_changes_are_allowed(path):
    assert load_bundle(path, edited=True).metrics == bundle().metrics


def test_a_file_of_version_1_is_read_as_it_was(tmp_path):
    """Written by the last version that wrote such files."""
    old = Path(__file__).parent / "version_1.json"
    document, loaded = json.loads(old.read_text()), load_bundle(old)
    assert loaded.table.to_json() == document["table"]
    assert loaded.search.model_dump(mode="json") == document["search"]
    assert loaded.metrics == {"rmse": Measured.of([document["metrics"]["rmse"]])}
    assert (loaded.conventions.model, loaded.sweep, loaded.edited) == (None, None, False)
    save_bundle(loaded, tmp_path / "new.json")
    assert load_bundle(tmp_path / "new.json").model_dump_json() == loaded.model_dump_json()


def test_figures_of_a_sweeps_old_bundle_keep_their_number_of_samples(tmp_path):
    old = json.loads((Path(__file__).parent / "version_1.json").read_text())
    figures = {"FID[digits-cnn]": 0.25, "rmse": None, "samples": 500}
    (tmp_path / "old.json").write_text(json.dumps(old | {"metrics": figures}))
    found = load_bundle(tmp_path / "old.json").metrics
    assert found == {"FID[digits-cnn]": Measured.of([0.25], samples=500)}


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


def test_nan_never_enters_a_bundle():
    with pytest.raises(ValueError, match="guidance"):
        bundle(guidance=float("inf"))
    with pytest.raises(ValueError, match="mean"):
        Measured.of([float("nan")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 3}, "bundle schema 3 is newer than 2.*update dss_ray"),
        ({"schema_version": 10**30}, "is newer than 2.*update dss_ray"),
        ({"schema_version": "1"}, "invalid bundle, schema_version"),
        ({"guidance": [1.0, 2.0]}, "expected one guidance scale or 5, got 2"),
        ({"guidance": "strong"}, "invalid bundle, guidance"),
        ({"table": {"times": [0.0]}}, r"table: solver table: expected the fields"),
        ({"table": 3}, "invalid bundle, table"),
        ({"conventions": {"time": "0 is data"}}, "conventions.time: Input should be '0 is noise"),
        ({"metrics": [1]}, "invalid bundle, metrics"),
        ({"metrics": {"rmse": 0.1}}, "metrics.rmse: Input should be an object"),
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
        (b'{"schema_version": 2, "search": ' + b'{"a": ' * 100_000, "no JSON"),
        (b'{"schema_version": 2, "seed": ' + b"9" * 10_000 + b"}", "no JSON"),
        (b'{"schema_version": 2, "name": "\\ud800"}', "no JSON"),
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


def test_what_is_no_file_of_a_bundles_size_is_refused(tmp_path, path):
    os.mkfifo(tmp_path / "pipe.json")
    for place in (tmp_path / "none.json", tmp_path, tmp_path / "pipe.json", Path("/dev/zero")):
        with pytest.raises(FileError, match="cannot read the bundle"):
            load_bundle(place)
    os.truncate(path, LARGEST + 1)
    with pytest.raises(FileError, match="far too large"):
        load_bundle(path)
