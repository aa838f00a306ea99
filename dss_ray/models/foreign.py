"""Weights that others wrote: read without running code, and fitted key by key."""

import re
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dss_ray.errors import FileError

WRAPPED = "ema"  # the key under which training checkpoints keep the averaged weights
STARTS = b"P", b"\x80"  # of a zip archive, which torch writes, and of a pickle, which it wrote once
NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")  # of a block, within a key


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pt file that holds nothing else but numbers.

    A training checkpoint gives its averaged weights, those under "ema".

    Raises:
        FileError: if the file is missing, truncated, holds code, or holds no tensors.
    """
    if not path.is_file():
        raise FileError(f"{path}: expected a checkpoint, found no file; correct the path")
    try:
        found = load_file(path) if path.suffix == ".safetensors" else read_pickle(path)
    except UnpicklingError as error:
        raise FileError(
            f"{path}: holds more than tensors, and code in a pickle is never run "
            f"({first_line(error)}); save its state_dict, or convert it to safetensors"
        ) from None
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise FileError(
            f"{path}: no readable checkpoint ({first_line(error)}); it may be truncated, fetch it "
            "again"
        ) from None
    if isinstance(found, Mapping) and isinstance(found.get(WRAPPED), Mapping):
        found = found[WRAPPED]
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise FileError(
            f"{path}: expected tensors by name, plain or under '{WRAPPED}', found "
            f"{describe(found)}; save the network's state_dict"
        )
    return dict(found)


def read_pickle(path: Path) -> Any:
    """What torch finds without running code; the arguments of a training run are allowed."""
    with path.open("rb") as file:
        if file.read(1) not in STARTS:
            raise ValueError("neither a zip archive nor a pickle")
    with torch.serialization.safe_globals([Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Make ``tensors`` the weights of ``network``, which may lie on the meta device.

    Raises:
        FileError: that names every missing, unexpected or misshapen key.
    """
    wanted = network.state_dict()
    missing = [key for key in wanted if key not in tensors]
    unexpected = [key for key in tensors if key not in wanted]
    misshapen = [
        f"{key} {tuple(tensors[key].shape)} for {tuple(weight.shape)}"
        for key, weight in wanted.items()
        if key in tensors and tensors[key].shape != weight.shape
    ]
    problems = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
    said = [f"{len(keys)} {what}: {grouped(keys)}" for what, keys in problems.items() if keys]
    if said:
        raise FileError(
            f"{path}: weights of another network than {type(network).__name__} of this size "
            f"({'; '.join(said)}); name the model that they belong to"
        )
    network.load_state_dict(tensors, assign=True)


def grouped(keys: Iterable[str]) -> str:
    """All keys in a line; those that differ in one number only share an entry."""
    numbers: dict[tuple[str, str], list[int]] = {}
    alone: list[str] = []
    for key in keys:
        if found := NUMBER.search(key):
            around = key[: found.start()], key[found.end() :]
            numbers.setdefault(around, []).append(int(found[0]))
        else:
            alone.append(key)
    return ", ".join(
        alone + [f"{before}{spans(found)}{after}" for (before, after), found in numbers.items()]
    )


def spans(numbers: list[int]) -> str:
    """Numbers in braces, runs of neighbours as a range; one number as it is."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return parts[0] if len(numbers) == 1 else "{" + ",".join(parts) + "}"


def describe(found: object) -> str:
    """What a file holds instead of tensors, in a few words."""
    if isinstance(found, Mapping):
        return f"a mapping of {', '.join(sorted(map(str, found))[:8]) or 'nothing'}"
    return f"a {type(found).__name__}"


def first_line(error: Exception) -> str:
    """The beginning of a message, without the advice that torch appends."""
    return str(error).strip().split("\n")[0].split(". ")[0][:200]
