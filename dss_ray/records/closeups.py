"""The best solvers of a sweep looked at closely: their errors on the way, and their samples.

The noises are of the evaluation, which no search and no selection has seen; nothing is chosen here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dss_ray.api import DOMAIN, guide_by, sample, span, teacher_images
from dss_ray.bundle import Bundle, load_bundle
from dss_ray.errors import DssError, ModelError
from dss_ray.evaluation.trajectory import errors_along
from dss_ray.models.guidance import GuidedModel, one_flow
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.teacher import BLOCK, Teacher
from dss_ray.solver.table import SolverTable

SEED = 0
PICTURES = 10  # samples of each solver, one of each of the first labels
QUERIES = 300  # that a teacher takes: 20 + 40 + 80 + 160 steps, most often
PATIENCE = 60.0  # seconds that a teacher may take; a report is to be there soon


@dataclass(frozen=True, eq=False)
class Closeup:
    """A solver seen from near.

    Args:
        key: of its row.
        model: that it was judged on.
        guidance: one scale, or one for each query.
        nfe: its queries.
        kind: "searched", "classical" or "published".
        knots: the N + 1 times of its states.
        errors: the root mean square difference to the teacher at each of them.
        images: (PICTURES, C, H, W) in [0, 1]; None where the model makes none.
        teacher: the teacher's on the same noises.
    """

    key: str
    model: str
    guidance: float | tuple[float, ...]
    nfe: int
    kind: str
    knots: tuple[float, ...]
    errors: tuple[float, ...]
    images: Tensor | None
    teacher: Tensor | None


def look_closely(
    entries: Sequence[dict[str, Any]],
    folder: Path,
    model: VelocityModel,
    progress: Callable[[int, int], object],
) -> tuple[list[Closeup], list[str]]:
    """Closeups of the solvers of a leaderboard on their model.

    Args:
        entries: of one model.
        folder: of the sweep, where the bundles lie.
        model: that the entries were judged on.
        progress: called with the solvers done and those in all.

    Returns:
        The closeups, and a sentence for each reason that some are missing.
    """
    found, missing = list[Closeup](), dict[str, None]()
    for number, entry in enumerate(entries):
        progress(number, len(entries))
        try:
            bundle = load_bundle(folder / str(entry["bundle"]))
            found.append(closeup(entry, bundle, model))
        except (DssError, RuntimeError) as error:  # torch's are RuntimeErrors
            missing[str(error)] = None
    return found, list(missing)


def closeup(entry: dict[str, Any], bundle: Bundle, model: VelocityModel) -> Closeup:
    """One solver.

    Raises:
        DssError: if the model is another one, or too slow, or there is no teacher to compare with.
    """
    if bundle.model == model.name and bundle.model_fingerprint != model.fingerprint:
        raise ModelError(f"{model.name}: its weights are not those that were searched on")
    guided, table = guide_by(bundle, model), bundle.table
    images = sample(bundle, model, PICTURES, SEED)
    drawn = images.ndim == 4 and images.shape[1] in (1, 3)
    return Closeup(
        key=entry["key"],
        model=entry["model"],
        guidance=bundle.guidance,
        nfe=table.nfe,
        kind=entry["kind"],
        knots=tuple(table.knots.tolist()),
        errors=errors(guided, table),
        images=images if drawn else None,
        teacher=teacher_images(model, bundle.guidance, PICTURES, SEED) if drawn else None,
    )


def errors(guided: Sequence[GuidedModel], table: SolverTable) -> tuple[float, ...]:
    """The error at each knot; ModelError if the teacher would take too long."""
    teacher = Teacher(one_flow(guided), DOMAIN, SEED, span(table))
    seconds = QUERIES * seconds_per_query(teacher)
    if seconds > PATIENCE:
        raise ModelError(
            f"{teacher.model.name}: a teacher to compare with would take about "
            f"{seconds / 60:.0f} minutes on this machine, too long for a report"
        )
    return errors_along(guided, table, teacher.reference(BLOCK)[0])


@torch.no_grad()
def seconds_per_query(teacher: Teacher) -> float:
    """What a query of as many samples as the teacher solves at once takes."""
    noise, label = teacher.noise(0, BLOCK)
    for _ in range(2):  # the first call warms up
        began = time.perf_counter()
        float(teacher.model(noise, noise.new_tensor(teacher.ends_at[0]), label).sum())
    return time.perf_counter() - began
