"""Solvers as scheduler folders, which diffusers loads."""

import inspect
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dss_ray import __version__, errors
from dss_ray.bundle import Bundle
from dss_ray.errors import UsageError
from dss_ray.export import predictions
from dss_ray.export.pipeline_path import read_pipeline
from dss_ray.solver import sampling, table

CONFIG = "scheduler_config.json"
CARRIED = "table_scheduler.py"  # the module beside it, of what needs no dss_ray
HEAD = '''"""TableScheduler of dss_ray {version}, MIT licence: on diffusers and torch alone."""

from __future__ import annotations

{imports}
'''
INSIDE = re.compile(r"^from (?:dss_ray|__future__)\S* import (?:\([^)]*\)|.*)\n", re.MULTILINE)
IMPORT = re.compile(r"^(?:from \S+ )?import .*\n", re.MULTILINE)
USAGE = """{folder}: {solver}{found}, {nfe} steps for pipelines of '{kind}'{cautions}
    {module} import TableScheduler
    pipeline.scheduler = TableScheduler.from_pretrained({place})
    pipeline(..., num_inference_steps={nfe}{guidance})"""


def export_diffusers(
    bundle: Bundle, folder: Path, *, pipeline: str, self_contained: bool = False
) -> Path:
    """Write a solver as the scheduler of a pipeline.

    Args:
        bundle: the solver.
        folder: becomes the scheduler's folder.
        pipeline: folder of the pipeline that will sample, or of its scheduler.
        self_contained: put a module beside the config that needs no dss_ray.

    Raises:
        UsageError: if the pipeline does not know the table's times, ``folder`` holds a scheduler,
            or diffusers is not installed.
        FileError: if the pipeline's scheduler is missing, or not one of ``read_pipeline``'s kinds.
        OSError: if ``folder`` cannot be written.
    """
    path = read_pipeline(pipeline)
    path.check(bundle.table, bundle.name)
    from dss_ray.export.diffusers_scheduler import TableScheduler  # needs diffusers

    scheduler = TableScheduler(
        table=bundle.table.to_json(),
        prediction_type=path.prediction_type,
        timesteps=path.timesteps(bundle.table.times).tolist(),
        solver=bundle.name,
        model=bundle.model,
        guidance=bundle.model_dump(mode="json")["guidance"],
    )
    for name in (CONFIG, CARRIED):
        if (folder / name).exists():
            raise UsageError(f"{folder / name} exists already; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".") as draft:
        scheduler.save_pretrained(draft)
        if self_contained:
            (Path(draft) / CARRIED).write_text(module_text(), encoding="utf-8")
        for file in sorted(Path(draft).iterdir(), reverse=True):  # the config last
            file.replace(folder / file.name)
    return folder


def module_text() -> str:
    """The module of the scheduler, after those of dss_ray that it needs."""
    from dss_ray.export import diffusers_scheduler

    parts = errors, table, sampling, predictions, diffusers_scheduler
    text = INSIDE.sub("", "\n\n".join(map(inspect.getsource, parts)))
    imports = "".join(sorted(set(IMPORT.findall(text))))
    text = HEAD.format(version=__version__, imports=imports) + IMPORT.sub("", text)
    return re.sub(r"\n{4,}", "\n\n\n", text)


def usage(folder: Path) -> str:
    """What a folder of ``export_diffusers`` holds, and the Python lines that sample with it."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    place, scale = json.dumps(str(folder)), config["guidance"]
    module = "from dss_ray.export.diffusers_scheduler"
    if (folder / CARRIED).exists():
        module = f"import sys\n    sys.path.append({place})\n    from {Path(CARRIED).stem}"
    return USAGE.format(
        folder=folder,
        place=place,
        module=module,
        solver=config["solver"],
        found=f", found on {config['model']}" if config["model"] else "",
        nfe=len(config["timesteps"]),
        kind=config["prediction_type"],
        guidance="" if isinstance(scale, list) else f", guidance_scale={scale:g}",
        cautions="".join(f"\n{caution}" for caution in cautions(config)),
    )


def cautions(config: dict[str, Any]) -> list[str]:
    """What the caller of a pipeline with that scheduler has to know besides."""
    guidance, knots, model = config["guidance"], config["table"]["knots"], config["model"]
    flow, said = config["prediction_type"] == predictions.FLOW, list[str]()
    if isinstance(guidance, list):
        scales = ", ".join(f"{scale:g}" for scale in guidance)
        said.append(
            f"its guidance changes from step to step ({scales}), which no argument of a pipeline "
            "does; set it in a callback_on_step_end"
        )
    elif flow:
        said.append(
            "Flux takes its guidance as true_cfg_scale; guidance_scale is another one there"
        )
    if flow and (knots[0] > 0 or knots[-1] < 1):
        said.append(
            f"it runs from t = {knots[0]:g} to {knots[-1]:g}, as on a diffusion, where these "
            "pipelines run from 0 to 1: images will not be those that it was searched for"
        )
    if model == "diffusers-dit" or model.startswith("dit-"):
        said.append(
            "DiT's pipeline computes what diffusers-dit does with official_times=false, so solvers "
            "for it are searched with that"
        )
    return said
