"""Start noises and labels: each sample has a stream of its own, whatever the chunking."""

from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from dss_ray.errors import unknown
from dss_ray.models.protocol import VelocityModel

DOMAINS = ("search", "selection", "evaluation")


def draw(  # noqa: PLR0917
    model_shape: tuple[int, ...],
    num_classes: int | None,
    domain: str,
    seed: int,
    first: int,
    count: int,
) -> tuple[Tensor, Tensor | None]:
    """The standard normal noises and balanced labels of the samples ``first .. first + count - 1``.

    Sample i depends on (domain, seed, i) alone: the domain and the seed are hashed to the 128-bit
    key of a Philox generator (Salmon et al. 2011), and i is the high half of its 256-bit counter.
    So no two samples share numbers, and search never meets the seeds of evaluation.

    Args:
        model_shape: shape of one sample.
        num_classes: sample i has the label ``i % num_classes``; None for an unconditional model.
        domain: what the noise is for: search, selection or evaluation.
        seed: any integer.
        first: index of the first sample, at least 0.
        count: number of samples.

    Returns:
        noise (count, *model_shape) float32, and label (count,) int64 or None.

    Raises:
        UsageError: if the domain is unknown.
    """
    if domain not in DOMAINS:
        raise unknown("noise domain", domain, DOMAINS)
    digest = sha256(f"{domain}:{seed}".encode()).digest()
    key = np.frombuffer(digest, dtype="<u8", count=2)
    noise = np.empty((count, *model_shape), dtype=np.float32)
    stream = np.random.Philox(key=key)
    normal, state = np.random.Generator(stream), stream.state
    for offset in range(count):
        state["state"]["counter"] = np.array([0, 0, first + offset, 0], dtype=np.uint64)
        stream.state = state  # a new Philox would ask the system for entropy, four times as slow
        noise[offset] = normal.standard_normal(model_shape, np.float32)
    indices = torch.arange(first, first + count)
    return torch.from_numpy(noise), None if num_classes is None else indices % num_classes


def start_states(
    model: VelocityModel, time: float, domain: str, seed: int, samples: range
) -> tuple[Tensor, Tensor | None]:
    """Where sampling starts: the noises at the model's scale, on the model's device.

    Args:
        model: its optional ``noise_scale`` and ``device`` count.
        time: the first knot.
        domain: as in ``draw``.
        seed: as in ``draw``.
        samples: indices of the samples, without gaps.

    Returns:
        x_0 (B, *sample_shape) float32 and label (B,) int64 or None.
    """
    shape, classes = model.sample_shape, model.num_classes
    noise, label = draw(shape, classes, domain, seed, samples.start, len(samples))
    scale, device = getattr(model, "noise_scale", None), getattr(model, "device", noise.device)
    noise = noise if scale is None else noise * scale(time)
    return noise.to(device), None if label is None else label.to(device)
