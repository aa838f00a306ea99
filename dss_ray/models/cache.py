"""A cache of tensors under a content hash: atomic, locked between processes, rebuilt if corrupt."""

import fcntl
import hashlib
import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, uint8

from dss_ray.errors import FileError

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Entry:
    """Cached tensors and the wall seconds it took to make them, once."""

    tensors: dict[str, Tensor]
    seconds: float


def cache_folder() -> Path:
    """``DSS_RAY_CACHE``, else ``dss_ray`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DSS_RAY_CACHE") or Path(base) / "dss_ray" / "references")


def cached(key: Mapping[str, Any], build: Callable[[], dict[str, Tensor]]) -> Entry:
    """The tensors that ``build`` makes, from the cache where it holds them.

    One process builds while others that want the same entry wait for it.

    Args:
        key: all that determines the tensors; JSON-serialisable.
        build: makes them; called at most once.

    Raises:
        FileError: if the cache folder cannot be written.
    """
    text = json.dumps(key, sort_keys=True)
    path = cache_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"
    with locked(path.with_suffix(".lock")):
        if path.exists():
            try:
                return read_entry(path, text)
            except (SafetensorError, OSError, ValueError, KeyError) as error:
                log.warning("%s is corrupt (%s) and is built again", path, error)
        began = time.perf_counter()
        entry = Entry(build(), time.perf_counter() - began)
        write_entry(path, text, entry)
        return entry


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system drops it if the process dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise FileError(
            f"cache folder {path.parent}: cannot be written ({error.strerror}); "
            "set DSS_RAY_CACHE to a folder that can"
        ) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_entry(path: Path, key: str) -> Entry:
    """The entry at ``path``; ValueError if its key or its checksum is not what it should be."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if metadata.get("key") != key:
        raise ValueError("its key is another one")
    entry = Entry(tensors, float(metadata["seconds"]))
    if metadata["checksum"] != checksum(entry):
        raise ValueError("its checksum does not match")
    return entry


def write_entry(path: Path, key: str, entry: Entry) -> None:
    """Write beside, then rename: a reader sees the whole entry or none."""
    tensors = {name: tensor.contiguous() for name, tensor in entry.tensors.items()}
    metadata = {"key": key, "checksum": checksum(entry), "seconds": repr(entry.seconds)}
    draft = path.with_suffix(".tmp")  # the lock's holder alone writes, over what a killed one left
    save_file(tensors, draft, metadata)
    draft.replace(path)


def checksum(entry: Entry) -> str:
    """CRC-32 over the seconds and all tensors: names, types, shapes and bytes."""
    value = zlib.crc32(repr(entry.seconds).encode())
    for name, tensor in sorted(entry.tensors.items()):
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        raw = tensor.detach().cpu().flatten().view(uint8)
        value = zlib.crc32(raw.numpy().tobytes(), value)
    return f"{value:08x}"
