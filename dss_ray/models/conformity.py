"""What a user's model must be: checks of a loaded object against the protocol."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dss_ray.errors import ModelError

MIDDLE = 0.5
PROBES = {1: 0.02, 2: MIDDLE, 3: 0.98}  # samples of a trial call and its place in the time range


def explain(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}"


def check_attributes(name: str, model: object) -> None:
    """Every attribute of the protocol is there and is what the protocol says, or ModelError."""
    expected: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "name": ("a text", lambda value: isinstance(value, str)),
        "sample_shape": ("a tuple of positive integers", is_shape),
        "num_classes": ("a positive integer or None", lambda v: v is None or is_count(v)),
        "t_min": ("a number from 0 to 1", is_time),
        "t_max": ("a number from t_min to 1", is_time),
        "fingerprint": ("a text that changes with the weights", lambda v: isinstance(v, str)),
    }
    if not callable(model):
        raise ModelError(
            f"model '{name}': expected a callable (x, t, label) -> velocity with the attributes "
            f"{', '.join(expected)}, got {type(model).__name__}"
        )
    missing = [attribute for attribute in expected if not hasattr(model, attribute)]
    if missing:
        raise ModelError(f"model '{name}': the returned object lacks {', '.join(missing)}")
    for attribute, (what, holds) in expected.items():
        value = getattr(model, attribute)
        if not holds(value):
            raise ModelError(f"model '{name}': {attribute} must be {what}, got {value!r}")
    if not model.t_min < model.t_max:  # type: ignore[attr-defined]
        raise ModelError(f"model '{name}': t_min must be below t_max")


def is_count(value: object) -> bool:
    """Whether ``value`` is a positive integer."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_shape(value: object) -> bool:
    """Whether ``value`` is a tuple of positive integers."""
    return isinstance(value, tuple) and bool(value) and all(map(is_count, value))


def is_time(value: object) -> bool:
    """Whether ``value`` is a number in [0, 1]."""
    return isinstance(value, int | float) and 0 <= value <= 1


def check_call(name: str, model: Any) -> None:
    """Trial calls on noise return velocities of the state's shape, finite ones, or ModelError.

    Batches of one, two and three samples are tried near the first time, in the middle and near the
    last; only in the middle must noise have a finite velocity.
    """
    weights = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    device = torch.device("cpu") if weights is None else weights.device
    for count, part in PROBES.items():
        x = torch.randn(count, *model.sample_shape, device=device)
        t = torch.tensor(model.t_min + part * (model.t_max - model.t_min), device=device)
        label = None
        if model.num_classes is not None:
            label = torch.arange(count, device=device) % model.num_classes
        place = f"with x {tuple(x.shape)} at t = {float(t):g}"
        try:
            with torch.no_grad():
                velocity = model(x, t, label)
        except Exception as error:
            raise ModelError(
                f"model '{name}': a trial call {place} failed: {explain(error)}"
            ) from error
        tensor = isinstance(velocity, torch.Tensor)
        found = tuple(velocity.shape) if tensor else type(velocity).__name__
        if found != tuple(x.shape):
            raise ModelError(
                f"model '{name}': called {place} it must return that shape, got {found}"
            )
        if part == MIDDLE and not velocity.isfinite().all():
            raise ModelError(f"model '{name}': returned NaN or infinity on standard normal noise")
