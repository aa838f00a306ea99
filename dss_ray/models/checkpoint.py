"""Weights on disk: safetensors with JSON metadata, written atomically, never pickled."""

import json
import uuid
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dss_ray.errors import FileError

METADATA_KEY = "dss_ray"
SHIPPED = Path(__file__).parent / "weights"


def write(path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write tensors and a JSON document to ``path``; readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    part.write_bytes(save(plain, {METADATA_KEY: json.dumps(document, sort_keys=True)}))
    part.replace(path)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the document that ``write`` stored.

    Raises:
        FileError: if the file is missing, corrupt or was not written by ``write``.
    """
    if not path.is_file():
        raise FileError(f"{path}: expected a weights file, found none; train it first")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            document = json.loads((file.metadata() or {})[METADATA_KEY])
    except (SafetensorError, KeyError, ValueError) as error:
        raise FileError(f"{path}: not a weights file of this package ({error!r})") from None
    return tensors, document


def restore(network: nn.Module, path: Path) -> None:
    """Load the weights in ``path``, in any float type, into ``network``.

    Raises:
        FileError: if the file cannot be read or belongs to another network.
    """
    tensors, _ = read(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise FileError(f"{path}: weights of another network ({error})") from None


def fingerprint(tensors: Mapping[str, Tensor], settings: object = None) -> str:
    """SHA-256 (hex) of names, types, shapes and values, and of the settings' ``repr``."""
    digest = sha256(repr(settings).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
