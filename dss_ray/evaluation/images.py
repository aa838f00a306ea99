"""Images on their way to an extractor: from a model's states, a folder or an array file."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from torch import Tensor

from dss_ray.errors import DivergedError, FileError
from dss_ray.evaluation.plan import CHUNK
from dss_ray.models.protocol import VelocityModel

BROKEN = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,
    MemoryError,
    BadZipFile,
    zlib.error,
)
EXPECTED = "expected a folder of PNGs, or a .npy or .npz of uint8 images (n, H, W) or (n, H, W, C)"


def decoded(model: VelocityModel, states: Tensor) -> Tensor:
    """The images (B, C, H, W) uint8 that ``states`` stand for, on their device.

    Through the model's ``decode`` where it has one, else from the usual [-1, 1] of pixel models.
    """
    decode = getattr(model, "decode", None)
    return to_uint8((states + 1) / 2 if decode is None else decode(states))


def to_uint8(images: Tensor) -> Tensor:
    """Images in [0, 1], rounded to the 256 levels of a file, halves up.

    For x in [-1, 1] that is 127.5 x + 128, cut off, of the official sampling code.

    Raises:
        DivergedError: if a pixel is NaN or infinite.
    """
    if not images.isfinite().all():
        raise DivergedError("an image holds NaN or infinity: check the model's decode")
    return (images.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def read_images(path: Path) -> Iterator[Tensor]:
    """The images at ``path`` in batches (B, C, H, W) uint8 of the fixed chunk size.

    A folder is read in the order of its file names, an .npz from its only array or ``arr_0``.

    Raises:
        FileError: if there are no images, one is broken, or their sizes differ.
    """
    if path.is_dir():
        files = sorted(path.glob("*.png"))
        if not files:
            raise FileError(f"{path}: holds no .png file; {EXPECTED}")
        shape = read_png(files[0]).shape
        for first in range(0, len(files), CHUNK):
            part = files[first : first + CHUNK]
            yield as_batch(np.stack([read_png(file, shape) for file in part]))
    else:
        array = read_array(path)
        for first in range(0, len(array), CHUNK):
            yield as_batch(array[first : first + CHUNK])


def read_png(path: Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """One grey (H, W) or colour (H, W, 3) image, of the given shape if there is one."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            mode, pixels = file.mode, np.asarray(file)
    except (UnidentifiedImageError, SyntaxError, *BROKEN) as error:
        raise FileError(f"{path}: no readable image ({error}); remove or replace it") from None
    if mode not in ("L", "RGB"):
        raise FileError(f"{path}: expected 8-bit grey or RGB, got mode {mode}; convert it")
    if shape is not None and pixels.shape != shape:
        raise FileError(f"{path}: expected the first image's shape {shape}, got {pixels.shape}")
    return pixels


def read_array(path: Path) -> np.ndarray:
    """The array (n, H, W) or (n, H, W, C) uint8 of a .npy or .npz file."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, NpzFile):
            with loaded:
                name = loaded.files[0] if len(loaded.files) == 1 else "arr_0"
                loaded = loaded[name]
    except BROKEN as error:
        raise FileError(f"{path}: no readable images ({error}); {EXPECTED}") from None
    pixels: np.ndarray = loaded
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.size == 0:
        raise FileError(f"{path}: found {pixels.dtype} {pixels.shape}; {EXPECTED}")
    if pixels.ndim == 4 and pixels.shape[3] not in (1, 3):
        raise FileError(f"{path}: found {pixels.shape[3]} channels, expected 1 or 3; {EXPECTED}")
    return pixels


def as_batch(array: np.ndarray) -> Tensor:
    """(B, H, W) or (B, H, W, C) as a tensor (B, C, H, W)."""
    channelled = array[..., None] if array.ndim == 3 else array
    return torch.from_numpy(np.ascontiguousarray(channelled.transpose(0, 3, 1, 2)))
