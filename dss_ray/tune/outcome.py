"""What a worker sends back through Ray Tune: results and pictures, or the reason of a failure."""

from __future__ import annotations

import base64

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from dss_ray.bundle import Bundle
from dss_ray.records.rows import Row


class Pictures(BaseModel):
    """uint8 images as base64 text."""

    model_config = ConfigDict(frozen=True)
    shape: tuple[int, ...]
    data: str

    @classmethod
    def of(cls, images: Tensor) -> Pictures:
        """Pack images (n, C, H, W) uint8."""
        data = base64.b64encode(images.contiguous().numpy().tobytes()).decode()
        return cls(shape=tuple(images.shape), data=data)

    def images(self) -> Tensor:
        """The images (n, C, H, W) uint8."""
        raw = bytearray(base64.b64decode(self.data))
        return torch.frombuffer(raw, dtype=torch.uint8).reshape(self.shape)


class Judged(BaseModel):
    """A solver with its row, its bundle and a few of its samples.

    Attributes:
        row: what the records keep.
        bundle: the solver with its provenance and its figures.
        pictures: the teacher's samples, then as many of the solver's on the same noises.
    """

    model_config = ConfigDict(frozen=True)
    row: Row
    bundle: Bundle
    pictures: Pictures


class Outcome(BaseModel):
    """All that one job brought: results, or an error.

    Attributes:
        results: one of a search, several of a baseline job, none of a failure.
        error: why the job failed; None where it did not.
        network_seconds: processor seconds of the worker inside the network.
        seconds: wall seconds of the job.
    """

    model_config = ConfigDict(frozen=True)
    results: tuple[Judged, ...] = ()
    error: str | None = None
    network_seconds: float = 0.0
    seconds: float = 0.0
