"""The commands that hand files on: export a solver, make reference statistics."""

from pathlib import Path
from typing import TYPE_CHECKING

from dss_ray.cli import options
from dss_ray.cli.best import best_solver
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import Result, verb
from dss_ray.errors import UsageError, require_known

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
    from dss_ray.bundle import Bundle

DIFFUSERS = "diffusers"  # the one format that depends on who will sample


@verb
def export(
    source: options.Source,
    *,
    out: options.Folder,
    nfe: options.ExportNfe = None,
    form: options.Format = "bundle",
    model: options.OfModel = None,
    pipeline: options.Pipeline = None,
    self_contained: options.SelfContained = False,
    edited: options.Edited = False,
) -> Result:
    """Hand on a bundle, or a sweep's best solver at an NFE, in the form of a tool."""
    if form != DIFFUSERS and (pipeline or self_contained):
        raise UsageError("--pipeline and --self-contained belong to --format diffusers")
    with stage(f"reading {source}"):
        from dss_ray.api import load_solver
        from dss_ray.export.formats import FORMATS

        require_known("format", form, [*FORMATS, DIFFUSERS], "--format")
        single = Path(source).is_file() or source.endswith(".json")
        bundle = load_solver(source, nfe, edited=edited) if single else None
    bundle = bundle or best_solver(source, nfe, model, edited)
    if form == DIFFUSERS:
        return to_diffusers(bundle, out, pipeline, self_contained)
    path = FORMATS[form](bundle, out)
    text = f"{path}: {bundle.name}, {bundle.table.nfe} steps, guidance {bundle.guidance}"
    return Result({"path": str(path), "format": form}, text)


def to_diffusers(bundle: "Bundle", out: Path, pipeline: str | None, carried: bool) -> Result:
    """Write the scheduler folder ``out``, and say how to sample with it.

    Raises:
        UsageError: if no pipeline is named, here or by the sweep that searched on it.
    """
    from dss_ray.models.spec import parse_spec

    name, known = parse_spec(bundle.sweep.model if bundle.sweep else bundle.model)
    pipeline = pipeline or (known.get("folder") if name.startswith("diffusers-") else None)
    if pipeline is None:
        raise UsageError(
            "--format diffusers: expected the folder of the pipeline that will sample, for its "
            "scheduler says how its network is asked; name it by --pipeline FOLDER"
        )
    with stage("reading diffusers"):
        from dss_ray.export.scheduler_folder import export_diffusers, usage

        path = export_diffusers(bundle, out, pipeline=pipeline, self_contained=carried)
    return Result({"path": str(path), "format": DIFFUSERS}, usage(bundle, path))


@verb
def reference(
    images: options.Images,
    *,
    features: options.Features,
    out: options.StatisticsFile,
) -> Result:
    """Make the image statistics that FID, sFID, precision and recall compare with."""
    with stage(f"reading {images}"):
        from dss_ray.evaluation.images import read_images
        from dss_ray.evaluation.reference_statistics import reference_statistics, save_reference
        from dss_ray.models.features import load_extractor

        extractor = load_extractor(features)
        made = reference_statistics(read_images(images), extractor, str(images))
        save_reference(made, out)
    document = {"path": str(out), "images": made.statistics.n, "features": features}
    weights = f"{features} (weights {made.fingerprint[:8]})"
    return Result(document, f"{out}: {made.statistics.n:,} images, features of {weights}")
