"""The journal of a search: whole or absent, its own search's, and gone at the end."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from dss_ray.errors import FileError
from dss_ray.search.journal import FileJournal

STATE = {
    "coordinates": torch.randn(7, dtype=torch.float64),
    "step": torch.tensor(3.0),
    "count": torch.tensor([2**40]),
    "none yet": torch.zeros(0),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "search [5].journal"


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_what_was_written_is_read_by_the_next_process_stage_by_stage(path):
    journal = FileJournal(path, "key")
    assert journal.read("gradient") is None
    journal.write("1 gradient", {"x": torch.zeros(2)})
    journal.write("1 gradient", STATE)
    journal.write("2 gradient", {"x": torch.ones(2)})
    again = FileJournal(path, "key")
    assert same(again.read("1 gradient"), STATE)
    assert same(again.read("2 gradient"), {"x": torch.ones(2)})
    assert again.read("3 gradient") is None


def test_a_state_is_a_copy(path):
    journal, moving = FileJournal(path, "key"), torch.zeros(3)
    journal.write("a", {"x": moving})
    moving += 1
    assert not journal.read("a")["x"].any()


def test_the_state_of_another_search_is_ignored_and_replaced(path):
    FileJournal(path, "key").write("a", STATE)
    other = FileJournal(path, "another")
    assert other.read("a") is None
    other.write("b", STATE)
    assert FileJournal(path, "key").read("a") is None
    assert same(FileJournal(path, "another").read("b"), STATE)


@pytest.mark.parametrize("size", [0, 1, 7, 100, -1])
def test_a_cut_file_is_ignored_with_a_warning(path, size, caplog):
    FileJournal(path, "key").write("a", STATE)
    path.write_bytes(path.read_bytes()[:size])
    assert FileJournal(path, "key").read("a") is None
    assert "starts anew" in caplog.text


@pytest.mark.parametrize("place", [0.3, 0.9, 0.999])
def test_a_flipped_bit_is_noticed(path, place, caplog):
    FileJournal(path, "key").write("a", STATE)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 16
    path.write_bytes(content)
    assert FileJournal(path, "key").read("a") is None
    assert "starts anew" in caplog.text


def test_a_foreign_file_is_ignored_with_a_warning(path, caplog):
    path.parent.mkdir()
    path.write_text("not tensors")
    assert FileJournal(path, "key").read("a") is None
    assert str(path) in caplog.text


def test_nothing_is_left_when_the_search_is_done(path):
    journal = FileJournal(path, "key")
    journal.remove()
    journal.write("a", STATE)
    killed, living = (path.with_name(f"{path.name}.{name}.part") for name in ("1234", "5678"))
    killed.write_bytes(b"of a process that was killed")
    os.utime(killed, (0, 0))
    living.write_bytes(b"of another that does the same search")
    other = path.with_name("search 6.journal")
    other.touch()
    journal.remove()
    assert sorted(path.parent.iterdir()) == sorted([living, other])
    assert journal.read("a") is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"file/journal: the state of the search cannot be"):
        FileJournal(tmp_path / "file" / "journal", "key").write("a", STATE)


WRITER = """
    import sys, torch
    from pathlib import Path
    from dss_ray.search.journal import FileJournal
    journal, count = FileJournal(Path(sys.argv[1]), "key"), 0
    while True:
        count += 1
        journal.write("a", {"x": torch.full((20_000,), count)})
        print(count, flush=True)
"""


def test_a_process_killed_while_it_writes_leaves_a_whole_state(path):
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(40):
            process.stdout.readline()
        process.kill()
    state = FileJournal(path, "key").read("a")["x"]
    assert (state == state[0]).all()
    assert state[0] >= 40
