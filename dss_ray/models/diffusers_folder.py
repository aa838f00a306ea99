"""The one door to diffusers: parts of its pipelines from local folders."""

from pathlib import Path
from typing import Any

import torch

from dss_ray.errors import FileError, UsageError

CONFIG = "config.json"


def load_part(kind: str, folder: str, dtype: str = "float32") -> Any:
    """The part of a pipeline, of the diffusers class ``kind``, that ``folder`` holds.

    Only safetensors are read, and nothing is fetched.

    Raises:
        UsageError: if diffusers is not installed.
        FileError: if the folder is missing, incomplete or holds another class.
    """
    try:
        import diffusers
    except ImportError as error:
        raise UsageError(
            f"{kind} comes from diffusers ({error}); pip install 'dss_ray[diffusers]'"
        ) from None
    path = Path(folder)
    if not (path / CONFIG).is_file():
        raise FileError(
            f"{folder}: expected the folder of a diffusers {kind}, found no {CONFIG}; "
            "name the folder that holds it, such as a pipeline's 'vae' or 'transformer'"
        )
    maker = getattr(diffusers, kind)
    try:
        found = maker.load_config(path).get("_class_name", kind)
        if found != kind:
            raise FileError(f"{folder}: expected a diffusers {kind}, found a {found}")
        part = maker.from_pretrained(
            path,
            torch_dtype=getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
            low_cpu_mem_usage=False,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise FileError(f"{folder}: no readable {kind} ({reason}); fetch it again") from None
    return part.requires_grad_(False).eval()
