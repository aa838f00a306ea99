"""What a worker keeps between jobs: models, extractors and reference statistics."""

from __future__ import annotations

from functools import cache

from dss_ray.evaluation.judge import Judge
from dss_ray.evaluation.reference import ReferenceStatistics
from dss_ray.models.features import Extractor
from dss_ray.models.guidance import guide
from dss_ray.models.zoo import load_model

load = cache(load_model)


@cache
def judged_by(name: str, judge: Judge) -> tuple[Extractor, ReferenceStatistics]:
    """Extractor and statistics of a model."""
    guided = guide(load(name), 1.0)
    return judge.extractor(guided), judge.reference(guided)
