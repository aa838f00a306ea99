"""Whom a model's samples are judged by: its extractor and what its features are compared with."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, cat

from dss_ray.errors import UsageError
from dss_ray.evaluation.plan import CHUNK, EvaluationPlan
from dss_ray.evaluation.reference import ReferenceStatistics
from dss_ray.evaluation.reference_statistics import load_reference, teacher_statistics
from dss_ray.evaluation.shipped import SHIPPED, shipped_reference
from dss_ray.models.features import Extractor, load_extractor
from dss_ray.models.guidance import GuidedModel, guide
from dss_ray.models.teacher import Teacher

TEACHER_SEED = -1  # of the noises whose converged samples stand in for reference images
TEACHER_SAMPLES = 5000


@dataclass(frozen=True)
class Judge:
    """Whom to ask.

    Args:
        features: the extractor's name; None for the one that the model names.
        statistics: a file of ``dss-ray reference``, or of Inception's statistics in the layout of
            ADM, clean-fid, EDM or torch-fidelity; None for those that ship with the extractor,
            or else the model's own converged samples.
    """

    features: str | None = None
    statistics: str | None = None

    def extractor(self, model: GuidedModel) -> Extractor:
        """The extractor of ``model``'s images.

        Raises:
            UsageError: if none is named.
        """
        name = self.features or getattr(model, "features", None)
        if name is None:
            raise UsageError(
                f"model '{model.name}' names no feature extractor, so it has no FID: name one as "
                "features, or ask for rmse alone"
            )
        return load_extractor(name)

    def reference(self, model: GuidedModel) -> ReferenceStatistics:
        """What the features are compared with; a source "teacher" says that it is the model itself.

        The teacher's samples are drawn without guidance, on noises that no plan has.

        Raises:
            UsageError: if the statistics belong to another extractor.
        """
        extractor = self.extractor(model)
        if self.statistics is not None:
            reference = load_reference(Path(self.statistics))
        elif extractor.name in SHIPPED:
            reference = shipped_reference(extractor.name)
        else:
            plain = guide(model.model, 1.0)  # one yardstick for all guidance scales
            teacher = Teacher(plain, "evaluation", TEACHER_SEED)
            ends = [teacher.ends(first, CHUNK) for first in range(0, TEACHER_SAMPLES, CHUNK)]
            reference = teacher_statistics(model, cat(ends), extractor)
        return reference.bound(extractor)


def reference_ends(teacher: Teacher, plan: EvaluationPlan) -> Tensor:
    """End states (n, *sample_shape) of the samples of ``plan`` that rmse is taken on."""
    counts = [(chunk.first, min(chunk.count, plan.rmse_samples - chunk.first)) for chunk in plan]
    return cat([teacher.ends(first, count) for first, count in counts if count > 0])
