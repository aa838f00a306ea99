"""Whom a model's samples are judged by: its extractor and what its features are compared with."""

from torch import Tensor, cat

from dss_ray.errors import UsageError
from dss_ray.evaluation.plan import CHUNK, EvaluationPlan
from dss_ray.evaluation.reference_statistics import ReferenceStatistics, teacher_statistics
from dss_ray.evaluation.shipped import SHIPPED, shipped_reference
from dss_ray.models.features import Extractor, load_extractor
from dss_ray.models.guidance import GuidedModel
from dss_ray.models.teacher import Teacher

TEACHER_SEED = -1  # of the noises whose converged samples stand in for reference images
TEACHER_SAMPLES = 5000


def judge(model: GuidedModel) -> tuple[Extractor, ReferenceStatistics]:
    """The extractor that ``model`` names and its reference statistics.

    Without shipped statistics the model is compared with its own converged samples, on noises
    that no plan has; the statistics' source then says "teacher".

    Raises:
        UsageError: if the model names no extractor.
    """
    features = getattr(model, "features", None)
    if features is None:
        raise UsageError(
            f"model '{model.name}' names no feature extractor, so it has no FID: give it an "
            "attribute features, or ask for rmse alone"
        )
    extractor = load_extractor(features)
    if features in SHIPPED:
        return extractor, shipped_reference(features)
    teacher = Teacher(model, "evaluation", TEACHER_SEED)
    ends = cat([teacher.ends(first, CHUNK) for first in range(0, TEACHER_SAMPLES, CHUNK)])
    return extractor, teacher_statistics(model, ends, extractor)


def reference_ends(teacher: Teacher, plan: EvaluationPlan) -> Tensor:
    """End states (n, *sample_shape) of the samples of ``plan`` that rmse is taken on."""
    counts = [(chunk.first, min(chunk.count, plan.rmse_samples - chunk.first)) for chunk in plan]
    return cat([teacher.ends(first, count) for first, count in counts if count > 0])
