"""What is sent along with a launched sweep, and what comes back."""

import shlex
import subprocess

import pytest

from dss_ray.api import load_solver
from dss_ray.bundle import save_bundle
from dss_ray.cli.assignments import assignment
from dss_ray.cli.clusters import packed
from dss_ray.config.sweep import Resources
from dss_ray.errors import UsageError
from dss_ray.tune.launch import Parcel, documents


def parcel(**more) -> Parcel:
    own = {"name": "a sweep", "text": "models: [a]\n", "assignments": ["trials=3"], "resume": False}
    given = {"modules": [], "files": [], "folder": "~/some place", "resources": Resources()}
    return Parcel(**own | given | more)


def test_a_parcel_holds_space_modules_and_small_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pack/__pycache__").mkdir(parents=True)
    (tmp_path / "pack/__pycache__/x.pyc").touch()
    (tmp_path / "pack/inner.py").write_text("x = 1")
    (tmp_path / "one.py").write_text("y = 2")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/reference.npz").write_bytes(b"small")
    with (tmp_path / "large.npz").open("wb") as file:
        file.truncate(200_000_000)
    files = ["data/reference.npz", "large.npz", "absent.npz", str(tmp_path / "one.py")]
    files += [f"../{tmp_path.name}/one.py"]
    modules = [tmp_path / "pack", tmp_path / "one.py"]
    with parcel(modules=modules, files=files).packed() as folder:
        found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        assert (folder / "space.yaml").read_text() == "models: [a]\n"
    assert found == ["files/data/reference.npz", "one.py", "pack/inner.py", "space.yaml"]


def test_more_than_a_job_carries_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [f"{number}.npz" for number in range(5)]
    for name in files:
        with (tmp_path / name).open("wb") as file:
            file.truncate(90_000_000)
    with pytest.raises(UsageError, match="450 MB, a job carries 400"), parcel(files=files).packed():
        pass


def test_its_command_runs_in_the_folder_with_the_files_there(tmp_path, monkeypatch):
    """By a real shell, ``dss-ray`` being one that says what it was asked and where."""
    (tmp_path / "dss-ray").write_text('#!/bin/sh\npwd\nls\nfor word; do echo "<$word>"; done\n')
    (tmp_path / "dss-ray").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reference.npz").touch()
    strange = parcel(assignments=["models=[a, 'b c']", "x=$HOME;rm"], files=["reference.npz"])
    with strange.packed() as folder:
        done = subprocess.run(
            ["/bin/sh", "-c", strange.command("sweep", "--resume")],
            cwd=folder, env={"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        asked = ["sweep", f"{folder}/space.yaml", "--address", "auto", "--set", "models=[a, 'b c']"]
    asked += ["--set", "x=$HOME;rm", "--resume"]
    where = str(tmp_path / "some place")
    assert done.stdout.splitlines() == [where, "reference.npz", *(f"<{word}>" for word in asked)]
    assert shlex.split(strange.command("sweep"))


def test_documents_are_found_among_what_else_was_said():
    said = 'INFO something\n[\n {\n  "a": [\n   1\n  ]\n }\n]\nbye\n{\n "b": 2\n}\n[\nnot json\n'
    assert documents(said) == [[{"a": [1]}], {"b": 2}]
    assert documents("[1, 2] is no line of its own\n") == []


@pytest.mark.parametrize("folder", ["shared", "~", "~me/shared", "./x"])
def test_a_folder_that_would_not_last_is_refused(folder):
    with pytest.raises(UsageError, match="--folder: expected"):
        parcel(folder=folder)


@pytest.mark.parametrize("name", ["2026", "2026-11-28", "1.5", "true", "digits"])
def test_a_name_stays_a_name_on_its_way(tmp_path, monkeypatch, name):
    """YAML would take some of them for numbers or dates."""
    monkeypatch.chdir(tmp_path)
    text = "models: [digits-sit]\nsearch: {nfe: {choice: [3, 4]}}\n"
    (tmp_path / f"{name}.yaml").write_text(text + "baselines: {methods: [ab2], grids: [uniform]}\n")
    sent = packed(f"{name}.yaml", None, {})
    assert sent.name == name
    assert dict(map(assignment, sent.assignments))["name"] == name


def test_tables_that_searches_start_from_are_sent_along(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables").mkdir()
    save_bundle(load_solver("ab2", 3), tmp_path / "tables/begin.json")
    text = "models: [digits-sit]\nsearch: {nfe: 3, start: {choice: [ab2, tables/begin.json]}}\n"
    (tmp_path / "own.yaml").write_text(text + "baselines: {methods: [ab2], grids: [uniform]}\n")
    with packed("own.yaml", None, {}).packed() as folder:
        sent = (folder / "files/tables/begin.json").read_bytes()
    assert sent == (tmp_path / "tables/begin.json").read_bytes()
