"""The cache builds once, survives what can happen to files, and never hands out wrong tensors."""

import json
import multiprocessing
import os
import resource
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from dss_ray.errors import FileError
from dss_ray.models import cache
from dss_ray.models.cache import cached, can_keep

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


def build_and_die():
    cached(KEY, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_a_builder_that_is_killed_leaves_no_entry_and_no_lock(folder):
    process = run(build_and_die)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert not list(folder.glob("*.safetensors"))
    assert is_right(cached(KEY, build))


def large():
    return {"states": torch.ones(64, 2**20)}


def test_a_writer_that_is_killed_leaves_no_half_entry(folder):
    process = run(cached, KEY, large)
    while not any(folder.glob("*.draft/*")):
        assert process.is_alive(), "it finished before it could be killed"
    process.kill()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert not list(folder.glob("*.safetensors"))
    assert is_right(cached(KEY, build))
    assert is_right(cached(KEY, fail))
    assert not list(folder.glob("*.draft"))


def damage(path, content):
    """Put other bytes there, as a process sees them that has not read the entry before."""
    draft = path.with_suffix(".damaged")  # readers' mappings stay what they are
    draft.write_bytes(content)
    draft.replace(path)
    cache.verified.clear()


def test_no_flipped_byte_changes_what_comes_back(folder):
    made = cached(KEY, build)
    path = entry_file(folder)
    sound = path.read_bytes()
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 0x80 if place % 3 else 0x01
        damage(path, damaged)
        assert is_right(cached(KEY, build)), place
        damage(path, sound)
    assert cached(KEY, fail).seconds == made.seconds


def test_a_truncated_entry_is_built_again(folder):
    cached(KEY, build)
    path = entry_file(folder)
    sound = path.read_bytes()
    for length in range(0, len(sound), 3):
        damage(path, sound[:length])
        assert is_right(cached(KEY, build)), length
        assert is_right(cached(KEY, fail))


def foreign(folder):
    """The bytes of another key's entry."""
    before = set(folder.glob("*.safetensors"))
    cached(KEY | {"seed": 2}, lambda: {"states": torch.ones(2, 3)})
    (path,) = set(folder.glob("*.safetensors")) - before
    return path.read_bytes()


def test_a_foreign_file_under_this_name_is_built_again(folder):
    cached(KEY, build)
    path = entry_file(folder)
    sound, text = path.read_bytes(), json.dumps(KEY, sort_keys=True)
    for content in (
        foreign(folder),
        sound + b"more",
        sound * 2,
        b"\x00" * 5000,
        b"\xff" * 5000,
        b"{}",
        save(TENSORS),
        save(TENSORS, {"key": text}),
        save(TENSORS, {"key": text, "seconds": "0.1", "checksum": "00000000"}),
        save(TENSORS, {"key": text, "seconds": "soon", "checksum": "00000000"}),
        save(TENSORS, {"seconds": "0.1", "checksum": "00000000"}),
    ):
        damage(path, content)
        assert is_right(cached(KEY, build)), content[:200]
        assert is_right(cached(KEY, fail))


def test_a_file_that_changes_is_verified_again_in_the_same_process(folder):
    cached(KEY, build)
    path = entry_file(folder)
    damaged = path.read_bytes()[:-1] + b"\x7f"
    draft = path.with_suffix(".damaged")
    draft.write_bytes(damaged)
    draft.replace(path)
    assert is_right(cached(KEY, build))


def test_processes_that_find_it_corrupt_build_it_once(folder, tmp_path):
    cached(KEY, build)
    path = entry_file(folder)
    damage(path, path.read_bytes()[:-3])
    test_processes_that_want_the_same_entry_build_it_once(tmp_path)


def mappings(path):
    """What /proc/self/smaps says, in bytes, of the mappings of a file, summed by field."""
    sums, ours = Counter(), False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            ours = line.endswith(str(path))
        elif ours and rest[-1] == "kB":
            sums[first] += 1024 * int(rest[0])
    return sums


def read_and_tell(barrier, results, folder):
    before = mappings("")["Anonymous:"]
    entry = cached(KEY, fail)
    total = float(entry.tensors["states"].sum())
    barrier.wait(30)  # both have it mapped
    sums = mappings(entry_file(folder))
    private = sums["Private_Dirty:"] + sums["Private_Clean:"] + sums["Anonymous:"]
    results.put((total, sums["Rss:"], private, mappings("")["Anonymous:"] - before))
    barrier.wait(30)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux alone tells the pages")
def test_processes_share_the_pages_of_an_entry(folder):
    size = large()["states"].nbytes
    cached(KEY, large)
    barrier, results = PROCESSES.Barrier(2), PROCESSES.Queue()
    processes = [run(read_and_tell, barrier, results, folder) for _ in range(2)]
    for _ in processes:
        total, mapped, private, grown = results.get(timeout=30)
        assert total == size / 4
        assert mapped >= size
        assert private < size / 100
        assert grown < size / 10
    for process in processes:
        process.join(30)


def test_what_is_written_into_a_tensor_stays_out_of_the_cache():
    cached(KEY, build).tensors["states"].zero_()
    cache.verified.clear()
    assert is_right(cached(KEY, fail))


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path / "file" / "inside"))
    with pytest.raises(FileError, match="DSS_RAY_CACHE"):
        cached(KEY, build)


def write_to_a_full_disk(results):
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    try:
        cached(KEY, large)
    except FileError as error:
        results.put(str(error))


def test_a_full_disk_is_named_with_the_remedy_and_keeps_no_draft(folder):
    results = PROCESSES.Queue()
    process = run(write_to_a_full_disk, results)
    assert "DSS_RAY_CACHE" in results.get(timeout=30)
    process.join(30)
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


def test_an_entry_that_is_there_is_read_without_writing_anything(folder):
    cached(KEY, build)
    lock = entry_file(folder).with_suffix(".lock")
    lock.unlink()
    lock.mkdir()  # so that no lock could be taken
    assert is_right(cached(KEY, fail))


def test_a_place_that_is_no_folder_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path / "deep" / "cache"))
    assert can_keep()
    (tmp_path / "file").touch()
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path / "file" / "cache"))
    assert not can_keep()
