"""Solvers as scheduler folders, which diffusers loads."""

import inspect
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

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


def usage(bundle: Bundle, folder: Path) -> str:
    """What ``export_diffusers`` wrote, and the Python lines that sample with it."""
    kind = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["prediction_type"]
    place, scale = json.dumps(str(folder)), bundle.guidance
    module = "from dss_ray.export.diffusers_scheduler"
    if (folder / CARRIED).exists():
        module = f"import sys\n    sys.path.append({place})\n    from {Path(CARRIED).stem}"
    return USAGE.format(
        folder=folder,
        place=place,
        module=module,
        solver=bundle.name,
        found=f", found on {bundle.model}" if bundle.model else "",
        nfe=bundle.table.nfe,
        kind=kind,
        guidance="" if isinstance(scale, tuple) else f", guidance_scale={scale:g}",
        cautions="".join(f"\n{caution}" for caution in cautions(bundle, kind)),
    )


def cautions(bundle: Bundle, prediction: str) -> list[str]:
    """What the caller of a pipeline of that prediction has to know besides."""
    flow, said = prediction == predictions.FLOW, list[str]()
    first, last = float(bundle.table.knots[0]), float(bundle.table.knots[-1])
    if isinstance(bundle.guidance, tuple):
        scales = ", ".join(f"{scale:g}" for scale in bundle.guidance)
        said.append(
            f"its guidance changes from step to step ({scales}), which no argument of a pipeline "
            "does; set it in a callback_on_step_end"
        )
    elif flow:
        said.append(
            "Flux takes its guidance as true_cfg_scale; guidance_scale is another one there"
        )
    if flow and (first > 0 or last < 1):
        said.append(
            f"it runs from t = {first:g} to {last:g}, as on a diffusion, where these pipelines run "
            "from 0 to 1: images will not be those that it was searched for"
        )
    if bundle.conventions.model and bundle.conventions.model.guided_channels:
        said.append(
            "it was searched as official samplers guide, a part of the channels, and pipelines "
            "guide all; for DiT's pipeline search on diffusers-dit with official_times=false"
        )
    return said
