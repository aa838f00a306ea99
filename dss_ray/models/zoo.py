"""Models by name: the zoo's own, and any callable of a user's."""

import importlib
import re
from collections.abc import Callable
from typing import Any, cast

from dss_ray.errors import DssError, ModelError, unknown
from dss_ray.models import checkpoint, digits, gaussian
from dss_ray.models.conformity import check_attributes, check_call, explain
from dss_ray.models.conventions import ConvertedModel, ddpm_path, linear_alphas_cumprod
from dss_ray.models.network import NetworkModel
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.sit import SiT, SiTSettings

DIGITS_SIT = SiTSettings(
    input_size=8,
    patch_size=2,
    in_channels=1,
    hidden_size=64,
    depth=4,
    num_heads=4,
    mlp_ratio=2.0,
    num_classes=digits.NUM_CLASSES,
    learn_sigma=False,
)
# The embedding turns by one radian per unit. With unit 1, as in the official DiT, the same network
# wiggles from index to index: its slope in time at t = 0.5 is off by half from that over 0.01; with
# this unit by 0.2 %, at the same loss.
DIGITS_DIT_UNIT = 0.05


def digits_network(name: str) -> NetworkModel:
    """The shipped network of scikit-learn's digits of that name, class-conditional."""
    network = SiT(DIGITS_SIT)
    checkpoint.restore(network, checkpoint.SHIPPED / f"{name}.safetensors")
    return NetworkModel(
        network,
        name,
        digits.SHAPE,
        digits.NUM_CLASSES,
        settings=DIGITS_SIT,
        features="digits-cnn",
        decode=digits.decode,
    )


def digits_sit() -> NetworkModel:
    """A rectified flow of digits."""
    return digits_network("digits-sit")


def digits_dit() -> ConvertedModel:
    """A DDPM of digits: the network of ``digits_sit`` trained to predict noise, linear betas."""
    path = ddpm_path(linear_alphas_cumprod(), DIGITS_DIT_UNIT)
    return ConvertedModel(digits_network("digits-dit"), "noise", path)


ZOO: dict[str, Callable[..., VelocityModel]] = {
    "digits-sit": digits_sit,
    "digits-dit": digits_dit,
    "gaussian-mixture": gaussian.plane,
}


def model_names() -> list[str]:
    """The names of the zoo's models."""
    return list(ZOO)


def check_model_name(name: str) -> None:
    """Raise UsageError unless ``name`` is one of the zoo's or ``package.module:callable``."""
    if name not in ZOO and not re.fullmatch(r"[\w.]+:\w+", name):
        raise unknown("model", name, [*ZOO, "package.module:callable"])


def load_model(name: str, device: str = "cpu", **kwargs: Any) -> VelocityModel:
    """The model of that name, checked against the protocol.

    Args:
        name: one of ``model_names()``, or ``package.module:callable`` for a callable that
            returns a model.
        device: where its weights go, such as "cuda"; another than "cpu" needs a model with ``to``.
        kwargs: keyword arguments of the callable.

    Raises:
        UsageError: if the name is unknown.
        ModelError: if the callable cannot be imported, fails, or returns no velocity model.
    """
    check_model_name(name)
    build = ZOO[name] if name in ZOO else imported(name)
    try:
        model = build(**kwargs)
        if device != "cpu":
            model = cast(Any, model).to(device)
    except DssError:
        raise
    except (Exception, SystemExit) as error:
        place = "" if device == "cpu" else f" for device '{device}'"
        raise ModelError(
            f"model '{name}': {explain(error)} (called with {kwargs}{place})"
        ) from error
    check_attributes(name, model)
    if name not in ZOO:
        check_call(name, model)
    return cast(VelocityModel, model)


def imported(name: str) -> Callable[..., object]:
    """The callable that ``package.module:callable`` names."""
    place, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(place)
    except Exception as error:
        raise ModelError(f"model '{name}': cannot import '{place}': {explain(error)}") from error
    build = getattr(module, attribute, None)
    if not callable(build):
        found = "nothing" if build is None else type(build).__name__
        raise ModelError(
            f"model '{name}': '{attribute}' in {place} must be a callable, found {found}"
        )
    return cast(Callable[..., object], build)
