"""A cache of tensors under a content hash: atomic, memory-mapped, rebuilt if corrupt."""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, uint8

from dss_ray.errors import FileError

log = logging.getLogger(__name__)

UNSOUND = (SafetensorError, OSError, ValueError, KeyError)  # a file that is absent or not an entry
verified = set[tuple[str, int, int, int]]()  # files whose checksum this process knows to be right


@dataclass(frozen=True, eq=False)
class Entry:
    """Cached tensors, mapped from their file, and the wall seconds it took to make them, once."""

    tensors: dict[str, Tensor]
    seconds: float


def cache_folder() -> Path:
    """``DSS_RAY_CACHE``, else ``dss_ray`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    own = os.environ.get("DSS_RAY_CACHE")
    return Path(own).expanduser() if own else Path(base) / "dss_ray" / "references"


def can_keep() -> bool:
    """Whether something new can be kept in the cache folder."""
    with suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        return os.access(cache_folder(), os.W_OK)
    return False


def cached(key: Mapping[str, Any], build: Callable[[], dict[str, Tensor]]) -> Entry:
    """The tensors that ``build`` makes, from the cache where it holds them; on the CPU.

    They are mapped from the file: processes share its pages, and what is not read stays on disk.
    One process builds while others that want the same entry wait for it.

    Args:
        key: all that determines the tensors; JSON-serialisable.
        build: makes them; called at most once.

    Raises:
        FileError: if the cache folder cannot be written.
    """
    text = json.dumps(key, sort_keys=True)
    path = cache_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"
    with suppress(*UNSOUND):
        return read_entry(path, text)
    with locked(path.with_suffix(".lock")):
        try:
            return read_entry(path, text)
        except FileNotFoundError:
            pass
        except UNSOUND as error:
            log.warning("%s is corrupt (%s) and is built again", path, error)
        began = time.perf_counter()
        tensors = build()
        write_entry(path, text, Entry(tensors, time.perf_counter() - began))
        return read_entry(path, text)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system drops it if the process dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise unwritable(path.parent, error.strerror) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_entry(path: Path, key: str) -> Entry:
    """The entry at ``path``; one of UNSOUND if it is absent or not what was written for ``key``."""
    found = identity(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    entry = Entry(tensors, float(metadata["seconds"]))
    if metadata["key"] != key:
        raise ValueError("its key is another one")
    if found not in verified and metadata["checksum"] != checksum(entry):
        raise ValueError("its checksum does not match")
    if identity(path) != found:
        raise ValueError("it was replaced while it was read")
    verified.add(found)
    return entry


def identity(path: Path) -> tuple[str, int, int, int]:
    """What changes when a file is written or replaced."""
    status = path.stat()
    return str(path), status.st_ino, status.st_size, status.st_ctime_ns


def write_entry(path: Path, key: str, entry: Entry) -> None:
    """Write beside, then rename: a reader sees the whole entry or none."""
    tensors = {name: tensor.contiguous() for name, tensor in entry.tensors.items()}
    metadata = {"key": key, "checksum": checksum(entry), "seconds": repr(entry.seconds)}
    draft = path.with_suffix(".draft")  # a folder, since safetensors has drafts of its own
    shutil.rmtree(draft, ignore_errors=True)  # the lock's holder alone writes; a killed one left it
    try:
        draft.mkdir()
        save_file(tensors, draft / path.name, metadata)
        (draft / path.name).replace(path)
    except (OSError, SafetensorError) as error:
        raise unwritable(path.parent, error) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    verified.add(identity(path))


def unwritable(folder: Path, reason: object) -> FileError:
    """The error for a cache folder that is read-only or full."""
    return FileError(
        f"cache folder {folder}: cannot be written ({reason}); "
        "set DSS_RAY_CACHE to a folder that can"
    )


def checksum(entry: Entry) -> str:
    """CRC-32 over the seconds and all tensors: names, types, shapes and bytes."""
    value = zlib.crc32(repr(entry.seconds).encode())
    for name, tensor in sorted(entry.tensors.items()):
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.detach().cpu().flatten().view(uint8).numpy().data, value)
    return f"{value:08x}"
