"""Images of a solver, and of the teacher on the same noises."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dss_ray.api.fitting import DOMAIN, guide_by, span
from dss_ray.bundle import Bundle
from dss_ray.errors import UsageError
from dss_ray.evaluation.images import decoded
from dss_ray.models.guidance import guide_steps, one_flow
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.teacher import Teacher
from dss_ray.solver.sampling import sample as sample_table


def sample(
    solver: Bundle,
    model: VelocityModel,
    count: int = 10,
    seed: int = 0,
    labels: Sequence[int] | None = None,
) -> Tensor:
    """Images (count, C, H, W) in [0, 1] that ``solver`` draws from ``model``, label after label.

    Args:
        solver: the table and the guidance to sample with.
        model: the model, maybe unconditional.
        count: of images.
        seed: of their noises.
        labels: one for each image, which says their count too; an unconditional model has no use
            for them.

    Raises:
        UsageError: if the solver does not fit the model, or a label is none of its.
    """
    guided = guide_by(solver, model)
    count = count if labels is None else len(labels)
    noise, label = Teacher(guided[0], DOMAIN, seed, span(solver.table)).noise(0, count)
    if labels is not None and label is not None:
        label = checked_labels(labels, model).to(label)
    with torch.no_grad():
        return decoded(model, sample_table(guided, solver.table, noise, label)).cpu() / 255


def checked_labels(labels: Sequence[int], model: VelocityModel) -> Tensor:
    """The labels as a tensor (n,); the null label is one of them."""
    wrong = [label for label in labels if not 0 <= label <= (model.num_classes or 0)]
    if wrong:
        raise UsageError(
            f"label {wrong[0]}: {model.name} has labels from 0 to {model.num_classes}, the last "
            "being that of no class"
        )
    return torch.tensor(labels, dtype=torch.long)


def teacher_images(
    model: VelocityModel, guidance: float | Sequence[float], count: int, seed: int = 0
) -> Tensor:
    """Images (count, C, H, W) in [0, 1] of the converged reference on the noises of ``sample``.

    Raises:
        UsageError: if ``guidance`` differs between steps.
    """
    scales = guidance if isinstance(guidance, Sequence) else [guidance]
    guided = one_flow(guide_steps(model, scales, len(scales)))
    return decoded(guided, Teacher(guided, DOMAIN, seed).ends(0, count)).cpu() / 255
