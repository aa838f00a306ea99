"""Solvers of the benchmark of search costs: found once, kept as JSON, and measured."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import torch
from digits_claims import GRIDS, rmse
from search_cost_cells import IMAGES, JUDGE, METHODS, SEEDS, STEERING, Cell
from torch import Tensor, nn

from dss_ray import api
from dss_ray.bundle import Bundle
from dss_ray.bundle.file import validated
from dss_ray.evaluation.chunk import ChunkResult
from dss_ray.evaluation.evaluate import combine
from dss_ray.evaluation.figures import Figure, figures
from dss_ray.evaluation.judge import Judge
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.evaluation.statistics import Statistics
from dss_ray.models.features import Extractor, load_extractor
from dss_ray.models.guidance import guide
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.teacher import Teacher
from dss_ray.search.result import SearchSettings
from dss_ray.solver.classical import baseline_tables
from dss_ray.solver.grids import make_grid
from dss_ray.solver.reference import reference_table

SAMPLES, MANY = 2000, 10_000  # of each evaluation seed
SCREENED, SCREENED_AGAIN, KEPT = 64, 500, 20  # noises, noises of the second round, solvers in it
JUDGES = (JUDGE, STEERING)
METRICS = ("rmse", "fid", "precision", "recall")


@dataclass(frozen=True)
class Found:
    """A solver with the processor seconds of its search and of the teacher it aimed at.

    Args:
        bundle: the solver.
        seconds: of the search alone.
        reference_seconds: of the teacher's trajectories, when they were solved.
        commit: of the code that searched.
    """

    bundle: Bundle
    seconds: float
    reference_seconds: float
    commit: str


@cache
def commit() -> str:
    """The commit of this checkout, marked where the package differs from it."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=here, check=True, capture_output=True)
        return done.stdout.decode().strip()

    changed = git("status", "--porcelain", "--", ":/dss_ray")
    return git("rev-parse", "--short=8", "HEAD") + ("-changed" if changed else "")


def find(cell: Cell, model: VelocityModel, folder: Path) -> Found:
    """The cell's solver from ``folder``, or else searched, and kept there."""
    path = folder / cell.file
    if not path.exists():
        keep(path, new_solver(cell, model))
    kept = read(path)
    bundle = validated(kept["bundle"], path)
    if cell.found_at != cell.guidance:
        bundle = bundle.model_copy(update={"guidance": cell.guidance})
    seconds, reference = kept["processor_seconds"], kept.get("reference_processor_seconds")
    if reference is None:
        reference = teacher_seconds(cell, folder)
        seconds -= reference if kept["includes_teacher"] else 0.0
    return Found(bundle, seconds, reference, kept.get("commit", ""))


def read(path: Path) -> dict[str, Any]:
    """A kept solver and what it took."""
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept


def teacher_seconds(cell: Cell, folder: Path) -> float:
    """Processor seconds of the recipe's teacher, where another program kept the solvers.

    It took the processor time of search and teacher together. They alternate every few iterations,
    so that they share that time as they share the wall time; the searches after the first find the
    trajectories in the cache. NaN where the first is missing.
    """
    for path in sorted(folder.glob(cell.file.replace(f"-N{cell.nfe}-", "-N*-"))):
        kept = read(path)
        if kept["includes_teacher"]:
            costs = kept["bundle"]["search"]
            share = costs["reference_seconds"] / (costs["reference_seconds"] + costs["seconds"])
            return float(share * kept["processor_seconds"])
    return math.nan


def keep(path: Path, bundle: Bundle) -> None:
    """Write a solver so that the file is whole or absent."""
    costs = bundle.search
    document = {
        "bundle": bundle.model_dump(mode="json"),
        "processor_seconds": costs.seconds if costs else 0.0,
        "reference_processor_seconds": costs.reference_seconds if costs else 0.0,
        "includes_teacher": False,
        "commit": commit(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(document))
    draft.replace(path)


def new_solver(cell: Cell, model: VelocityModel) -> Bundle:
    """Search, screen or look up the solver of a cell."""
    method = METHODS[cell.method]
    if method.chain:
        settings = SearchSettings(seed=cell.seed, **cast(Mapping[str, Any], method.settings))
        return api.search(
            model, cell.nfe, method=method.chain, guidance=cell.found_at, settings=settings
        )
    if cell.method == "classical":
        return best_classical(model, cell.guidance, cell.nfe)
    if cell.method == "teacher":
        teacher = Teacher(guide(model, cell.guidance), "evaluation", SEEDS[0])
        table = reference_table(teacher.steps, *teacher.ends_at)
        return api.named_bundle(f"{teacher.steps} steps", table, cell.guidance)
    return api.load_solver(f"{cell.method}-{cell.nfe}", guidance=cell.guidance)


def best_classical(model: VelocityModel, guidance: float, nfe: int) -> Bundle:
    """Of all classical solvers on all grids the one with the least rmse on search noises."""
    guided = guide(model, guidance)
    teacher = Teacher(guided, "search", SEEDS[0])
    tables = {
        f"{name} on {grid}": table
        for grid in GRIDS
        for name, table in baseline_tables(make_grid(grid, nfe, *teacher.ends_at)).items()
    }
    screened = sorted(tables, key=lambda name: rmse(guided, tables[name], teacher, SCREENED))
    best = min(
        screened[:KEPT], key=lambda name: rmse(guided, tables[name], teacher, SCREENED_AGAIN)
    )
    return api.named_bundle(best, tables[best], guidance)


class Together(nn.Module):
    """Several extractors as one, so that samples are drawn once for all of them."""

    def __init__(self, extractors: list[Extractor]) -> None:
        super().__init__()
        self.extractors, self.name = extractors, "+".join(one.name for one in extractors)
        self.fingerprint = "+".join(one.fingerprint for one in extractors)

    def forward(self, images: Tensor) -> Tensor:
        """Their features (B, D_1 + D_2 + ...), side by side."""
        return torch.cat([extractor(images) for extractor in self.extractors], 1)


def measure(bundle: Bundle, model: VelocityModel) -> dict[str, dict[str, Figure]]:
    """The figures over the evaluation seeds by judge; a model without images has "" as its own."""
    extractors = [load_extractor(name) for name in (JUDGES if model.name in IMAGES else ())]
    together = cast(Extractor, Together(extractors)) if extractors else None
    drawn = draw(bundle, model, SAMPLES, METRICS, together)
    if not extractors:
        return {"": figures([combine(chunks) for chunks in drawn])}
    found, first = dict[str, dict[str, Figure]](), 0
    for extractor in extractors:
        reference = Judge(extractor.name).reference(api.guide_by(bundle, model)[0])
        own = slice(first, first + extractor.dim)
        first += extractor.dim
        seen = [[as_seen_by(extractor, own, chunk) for chunk in chunks] for chunks in drawn]
        found[extractor.name] = figures([combine(chunks, reference) for chunks in seen])
    return found


def fid_of_many(bundle: Bundle, model: VelocityModel) -> Figure:
    """The FID under the judge of ``MANY`` samples, which has a fifth of the bias of ``SAMPLES``."""
    drawn = draw(bundle, model, MANY, ("fid",), load_extractor(JUDGE))
    reference = Judge(JUDGE).reference(api.guide_by(bundle, model)[0])
    return figures([combine(chunks, reference) for chunks in drawn])["fid"]


def draw(
    bundle: Bundle,
    model: VelocityModel,
    samples: int,
    metrics: tuple[str, ...],
    extractor: Extractor | None,
) -> list[list[ChunkResult]]:
    """The chunks of samples of each evaluation seed."""
    guided, drawn = api.guide_by(bundle, model), list[list[ChunkResult]]()
    for seed in SEEDS:
        plan = EvaluationPlan(samples, seed, "evaluation")
        one = partial(api.evaluate_part, guided, bundle.table, plan)
        drawn.append([one(part, metrics=metrics, extractor=extractor) for part in range(len(plan))])
    return drawn


def as_seen_by(extractor: Extractor, own: slice, chunk: ChunkResult) -> ChunkResult:
    """A chunk with the features of one extractor, which lie in the columns ``own``."""
    assert chunk.features is not None
    features = chunk.features[:, own]
    return replace(
        chunk,
        features=features,
        statistics=Statistics.of(features),
        fingerprint=extractor.fingerprint,
    )
