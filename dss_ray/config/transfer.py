"""The settings of a transfer: which solvers are measured on which models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, ValidationError

from dss_ray.bundle import load_bundle
from dss_ray.config.checks import check_model, located
from dss_ray.config.sweep import Baselines, Count, Frozen, Seed, distinct
from dss_ray.errors import UsageError
from dss_ray.evaluation.judge import Judge
from dss_ray.search.run import DEFAULT_METHOD, parse_chain
from dss_ray.solver.classical import baseline_names

BASELINES = Baselines(
    methods=tuple(baseline_names(2)),
    grids=(
        "uniform",
        "cosine",
        "power:0.8:1",
        "power:1:1.2",
        "power:1:1.4",
        "power:1.2:1.7",
        "shift:0.7",
        "shift:1.5",
        "logsnr",
        "edm",
        "flow-respacing",
        "vp-respacing",
    ),
    samples=16,
    keep=1,
)


class TransferSettings(Frozen):
    """All of a transfer.

    Attributes:
        name: names the folder ``runs/NAME`` and the tracker's parent run.
        models: on which the solvers are measured, and each is searched where none are given.
        nfe: step counts to search; those of ``solvers`` alone where they are given.
        solvers: bundle files to measure in place of searches.
        guidance: scale of the searches and of the evaluations.
        method: of the searches.
        samples: of each evaluation seed.
        seeds: of the evaluation.
    """

    MAY_CHANGE: ClassVar[frozenset[str]] = frozenset({"models", "nfe", "solvers"})

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    models: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)]
    nfe: Annotated[tuple[Count, ...], Field(min_length=1), AfterValidator(distinct)]
    solvers: Annotated[tuple[str, ...], AfterValidator(distinct)] = ()
    guidance: float = 1.0
    method: str = DEFAULT_METHOD
    samples: Annotated[int, Field(ge=16)] = 1000
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(distinct)] = (0,)


def transfer_settings(values: dict[str, object]) -> TransferSettings:
    """The settings of those values, each model, solver and method checked.

    Raises:
        UsageError: that names the option, what was found and what is possible.
    """
    try:
        settings = TransferSettings.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        option = str(problem["loc"][0])
        raise UsageError(
            f"--{option}: {problem['msg'].lower()}, got {problem['input']!r}"
        ) from None
    located("--method", parse_chain, settings.method)
    for model in settings.models:
        located("--models", check_model, Judge(), settings.samples, model)
    for solver in settings.solvers:
        load_bundle(Path(solver))
    return settings
