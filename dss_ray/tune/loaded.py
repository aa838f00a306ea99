"""What a worker keeps between jobs: models, extractors and reference statistics."""

from __future__ import annotations

from functools import cache
from typing import Any

from dss_ray.api import load_solver
from dss_ray.evaluation.judge import Judge
from dss_ray.evaluation.reference import ReferenceStatistics
from dss_ray.models.features import Extractor
from dss_ray.models.guidance import guide
from dss_ray.models.zoo import load_model
from dss_ray.solver.classical import CLASSICAL

load = cache(load_model)


@cache
def judged_by(name: str, judge: Judge) -> tuple[Extractor, ReferenceStatistics]:
    """Extractor and statistics of a model."""
    guided = guide(load(name), 1.0)
    return judge.extractor(guided), judge.reference(guided)


@cache
def starting_table(name: str) -> dict[str, Any] | None:
    """A published table or a bundle as JSON; None for a classical solver, made where it is used."""
    return None if name in CLASSICAL else load_solver(name).table.to_json()
