"""Models by name: the zoo's own, and any callable of a user's."""

import importlib
import re
from collections.abc import Callable
from typing import Any, cast

from dss_ray.errors import DssError, ModelError, unknown
from dss_ray.models import gaussian, shipped
from dss_ray.models.conformity import check_attributes, check_call, explain
from dss_ray.models.diffusers_models import DIFFUSERS
from dss_ray.models.official import OFFICIAL
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.spec import check_options, parse_spec

ZOO: dict[str, Callable[..., VelocityModel]] = {
    "digits-sit": shipped.digits_sit,
    "digits-dit": shipped.digits_dit,
    "digits-flowdcn": shipped.digits_flowdcn,
    "mnist-sit-s": shipped.mnist_sit_s,
    "mnist-sit-b": shipped.mnist_sit_b,
    "mnist-latent-sit": shipped.mnist_latent_sit,
    "gaussian-mixture": gaussian.plane,
}
NAMED = ZOO | OFFICIAL | DIFFUSERS


def model_names() -> list[str]:
    """The names of the zoo's models, which need nothing else."""
    return list(ZOO)


def check_model_name(spec: str) -> None:
    """Raise UsageError unless ``spec`` names a known model, its options too, or a callable."""
    name, options = parse_spec(spec)
    if name in NAMED:
        check_options(name, NAMED[name], options)
    elif not re.fullmatch(r"[\w.]+:\w+", name):
        raise unknown("model", name, [*NAMED, "package.module:callable"])


def load_model(name: str, device: str = "cpu", **kwargs: Any) -> VelocityModel:
    """The model of that name, checked against the protocol.

    Args:
        name: one of ``model_names()``, ``OFFICIAL`` or ``DIFFUSERS``, or
            ``package.module:callable`` for a callable that returns a model; keyword arguments may
            follow as ``NAME?key=value&key=value``.
        device: where its weights go, such as "cuda"; another than "cpu" needs a model with ``to``.
        kwargs: keyword arguments of the callable.

    Raises:
        UsageError: if the name or an option is unknown.
        FileError: if a file that an option names is missing, corrupt, or of another model.
        ModelError: if the callable cannot be imported, fails, or returns no velocity model.
    """
    check_model_name(name)
    name, options = parse_spec(name)
    kwargs = options | kwargs
    build = NAMED[name] if name in NAMED else imported(name)
    check_options(name, build, kwargs)
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
    if name not in NAMED:
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
