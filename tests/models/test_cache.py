"""The cache builds once, survives what can happen to files, and never hands out wrong tensors."""

import multiprocessing
import os
import shutil
import signal
import time

import pytest
import torch

from dss_ray.errors import FileError
from dss_ray.models import cache
from dss_ray.models.cache import cached

PROCESSES = multiprocessing.get_context("fork")
KEY = {"kind": "test", "seed": 1}
TENSORS = {
    "states": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "steps": torch.tensor(40),
    "nothing": torch.zeros(0, 4),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def build():
    return dict(TENSORS)


def fail():
    raise AssertionError("built again")


def is_right(entry):
    return set(entry.tensors) == set(TENSORS) and all(
        entry.tensors[name].dtype == tensor.dtype and torch.equal(entry.tensors[name], tensor)
        for name, tensor in TENSORS.items()
    )


def entry_file(folder):
    (path,) = folder.glob("*.safetensors")
    return path


def run(target, *args):
    process = PROCESSES.Process(target=target, args=args)
    process.start()
    return process


def test_an_entry_comes_back_as_it_was_made_with_the_seconds_of_its_making():
    made = cached(KEY, lambda: time.sleep(0.02) or build())
    again = cached(KEY, fail)
    assert is_right(made) and is_right(again)
    assert again.seconds == made.seconds > 0.02


def test_another_key_is_another_entry():
    cached(KEY, build)
    other = cached(KEY | {"seed": 2}, lambda: {"steps": torch.tensor(80)})
    assert int(other.tensors["steps"]) == 80


def slow_build(log):
    with log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.3)
    return build()


def want(log, results):
    results.put(is_right(cached(KEY, lambda: slow_build(log))))


def test_processes_that_want_the_same_entry_build_it_once(tmp_path):
    log, results = tmp_path / "builds", PROCESSES.Queue()
    processes = [run(want, log, results) for _ in range(4)]
    assert all(results.get(timeout=30) for _ in processes)
    for process in processes:
        process.join(30)
    assert len(log.read_text().splitlines()) == 1


def test_a_failed_build_leaves_nothing_and_lets_the_next_one_in(folder):
    with pytest.raises(ZeroDivisionError):
        cached(KEY, lambda: {"steps": torch.tensor(1 // 0)})
    assert not list(folder.glob("*.safetensors"))
    assert is_right(cached(KEY, build))


def die_while_writing(_, path, __):
    path.write_bytes(b"half an entry")
    os.kill(os.getpid(), signal.SIGKILL)


def write_and_die():
    cache.save_file = die_while_writing  # in the forked process alone
    cached(KEY, build)


def build_and_die():
    cached(KEY, lambda: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.parametrize("victim", [write_and_die, build_and_die])
def test_a_killed_writer_leaves_no_half_entry_and_no_lock(folder, victim):
    process = run(victim)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert not list(folder.glob("*.safetensors"))
    assert is_right(cached(KEY, build))
    assert is_right(cached(KEY, fail))
    assert not list(folder.glob("*.tmp"))


def test_no_flipped_byte_changes_what_comes_back(folder):
    made = cached(KEY, build)
    path = entry_file(folder)
    sound = path.read_bytes()
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 0x80 if place % 3 else 0x01
        path.write_bytes(damaged)
        entry = cached(KEY, build)
        assert is_right(entry), place
        path.write_bytes(sound)
    assert cached(KEY, fail).seconds == made.seconds


def test_a_truncated_entry_is_built_again(folder):
    cached(KEY, build)
    path = entry_file(folder)
    sound = path.read_bytes()
    for length in range(0, len(sound), 7):
        path.write_bytes(sound[:length])
        assert is_right(cached(KEY, build))
        assert is_right(cached(KEY, fail))


def test_a_foreign_entry_under_this_name_is_built_again(folder):
    cached(KEY, build)
    path = entry_file(folder)
    cached(KEY | {"seed": 2}, lambda: {"states": torch.ones(2, 3)})
    (foreign,) = set(folder.glob("*.safetensors")) - {path}
    shutil.copy(foreign, path)
    assert is_right(cached(KEY, build))
    path.write_bytes(b"\x00" * 5000)
    assert is_right(cached(KEY, build))


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path / "file" / "inside"))
    with pytest.raises(FileError, match="DSS_RAY_CACHE"):
        cached(KEY, build)
