"""The one door to diffusers: pipelines in local folders, and their parts."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from dss_ray.errors import FileError, UsageError

CONFIG = "config.json"
INDEX = "model_index.json"  # of a whole pipeline
SCHEDULER = "scheduler/scheduler_config.json"
UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)


def library(wanted: str) -> ModuleType:
    """The package diffusers, or UsageError that says how to install it for ``wanted``."""
    try:
        import diffusers
    except ImportError as error:
        raise UsageError(
            f"{wanted} comes from diffusers ({error}); pip install 'dss_ray[diffusers]'"
        ) from None
    module: ModuleType = diffusers
    return module


def load_part(kind: str, folder: str, dtype: str = "float32") -> Any:
    """The part of a pipeline, of the diffusers class ``kind``, that ``folder`` holds.

    Only safetensors are read, and nothing is fetched.

    Raises:
        UsageError: if diffusers is not installed.
        FileError: if the folder is missing, incomplete or holds another class.
    """
    maker = getattr(library(kind), kind)
    check_folder(kind, folder)
    try:
        part, report = maker.from_pretrained(
            Path(folder),
            torch_dtype=getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except (*UNREADABLE, SafetensorError) as error:
        raise unreadable(kind, folder, error) from None
    if missing := report["missing_keys"]:  # diffusers fills them with random numbers
        raise FileError(
            f"{folder}: its {kind} lacks {sorted(missing)[0]} ({len(missing)} weights are "
            "missing); fetch it again"
        )
    # SD3 keeps the type of its file, whatever was asked for; diffusers' own ``to`` would warn
    return nn.Module.to(part, getattr(torch, dtype)).requires_grad_(False).eval()


def check_folder(kind: str, folder: str) -> None:
    """Raise FileError unless ``folder`` holds a config of ``kind`` and safetensors beside it."""
    path = Path(folder)
    if not (path / CONFIG).is_file():
        raise FileError(
            f"{folder}: expected the folder of a diffusers {kind}, found no {CONFIG}; "
            "name the folder that holds it, such as a pipeline's 'vae' or 'transformer'"
        )
    try:
        found = json.loads((path / CONFIG).read_text()).get("_class_name", kind)
    except UNREADABLE as error:
        raise unreadable(kind, folder, error) from None
    if found != kind:
        raise FileError(f"{folder}: expected a diffusers {kind}, found a {found}; name its folder")
    if not any(path.glob("*.safetensors")):
        raise FileError(
            f"{folder}: no readable {kind} (no .safetensors file beside {CONFIG}); fetch them, or "
            "save it again with save_pretrained"
        )


def unreadable(kind: str, folder: str, error: Exception) -> FileError:
    """The error for a folder that diffusers cannot read."""
    reason = (str(error).strip() or repr(error)).split("\n")[0][:300]
    return FileError(f"{folder}: no readable {kind} ({reason}); fetch it again")


def load_scheduler(folder: str) -> Any:
    """The scheduler of the pipeline in ``folder``, or the one that lies in it.

    Raises:
        UsageError: if diffusers is not installed.
        FileError: if there is no scheduler, or none of diffusers' own.
    """
    schedulers = library("a scheduler")
    path = Path(folder) / SCHEDULER
    if not path.is_file():
        path = Path(folder) / path.name
    if not path.is_file():
        raise FileError(
            f"{folder}/{SCHEDULER}: expected a pipeline's scheduler, found none; fetch it, too"
        )
    try:
        name = json.loads(path.read_text())["_class_name"]
        maker = getattr(schedulers, name)
        if not issubclass(maker, schedulers.SchedulerMixin):
            raise TypeError(f"{name} is no scheduler")
        return maker.from_pretrained(path.parent, local_files_only=True)
    except UNREADABLE as error:
        raise unreadable("scheduler", str(path), error) from None


def load_alphas_cumprod(folder: str) -> Tensor:
    """The squares of a (K,), data first, of the scheduler of a pipeline that predicts the noise.

    Raises:
        UsageError: if diffusers is not installed.
        FileError: if there is no scheduler, or it is not one of discrete noise prediction.
    """
    scheduler = load_scheduler(folder)
    prediction = scheduler.config.get("prediction_type", "epsilon")
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if prediction != "epsilon" or alphas is None or not alphas.min() > 0:
        raise FileError(
            f"{folder}/{SCHEDULER}: expected a scheduler with betas and the prediction_type "
            f"'epsilon', found a {type(scheduler).__name__} with '{prediction}'; name the folder "
            "of a model that predicts the noise"
        )
    found: Tensor = alphas
    return found


def load_text_pipeline(folder: str) -> Any:
    """The pipeline in ``folder`` without its transformer and autoencoder: enough to read prompts.

    Raises:
        UsageError: if diffusers is not installed.
        FileError: if the folder holds no pipeline.
    """
    path = Path(folder)
    diffusers = library("a pipeline")
    if not (path / INDEX).is_file():
        raise FileError(
            f"{folder}: expected the folder of a diffusers pipeline, found no {INDEX}; name the "
            "folder that holds it, as save_pretrained of a pipeline writes it"
        )
    try:
        return diffusers.DiffusionPipeline.from_pretrained(
            path, transformer=None, vae=None, local_files_only=True, use_safetensors=True
        )
    except (*UNREADABLE, ImportError, SafetensorError) as error:
        raise unreadable("pipeline", folder, error) from None
