"""The formats in which a solver is handed to its users, each with the function that writes it."""

from collections.abc import Callable
from pathlib import Path

from dss_ray.bundle import Bundle, bundle_text
from dss_ray.export.place import identifier, places, stem, write_new
from dss_ray.export.python_file import comfyui_file, k_diffusion_file, standalone_file

Writer = Callable[[Bundle, Path], Path]  # writes into a folder and returns what it wrote


def export_bundle(bundle: Bundle, folder: Path) -> Path:
    """The bundle itself, MODEL-NFE-METHOD.json."""
    return write_new(bundle_text(bundle), places(folder, stem(bundle), ".json"))


def export_standalone(bundle: Bundle, folder: Path) -> Path:
    """A Python module with the solver and its loop, on torch alone."""
    return write_module(standalone_file(bundle), folder, stem(bundle))


def export_k_diffusion(bundle: Bundle, folder: Path) -> Path:
    """A Python module with the solver as a sampler of k-diffusion's calling convention."""
    return write_module(k_diffusion_file(bundle), folder, f"{stem(bundle)}_k_diffusion")


def export_comfyui(bundle: Bundle, folder: Path) -> Path:
    """A Python module with the solver as a node of ComfyUI."""
    return write_module(comfyui_file(bundle), folder, f"{stem(bundle)}_comfyui")


def write_module(text: str, folder: Path, name: str) -> Path:
    """Write a Python module under a name that can be imported."""
    return write_new(text, places(folder, identifier(name), ".py", mark="_"))


FORMATS: dict[str, Writer] = {
    "bundle": export_bundle,
    "standalone": export_standalone,
    "k-diffusion": export_k_diffusion,
    "comfyui": export_comfyui,
}
