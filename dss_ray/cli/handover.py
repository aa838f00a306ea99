"""The commands that hand files on: export a solver, make reference statistics."""

from pathlib import Path

from dss_ray.cli import options
from dss_ray.cli.best import best_solver
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import Result, verb
from dss_ray.errors import require_known


@verb
def export(
    source: options.Source,
    *,
    out: options.Folder,
    nfe: options.ExportNfe = None,
    form: options.Format = "bundle",
    model: options.OfModel = None,
    edited: options.Edited = False,
) -> Result:
    """Hand on a bundle, or a sweep's best solver at an NFE, in the form of a tool."""
    with stage(f"reading {source}"):
        from dss_ray.api import load_solver
        from dss_ray.export.formats import FORMATS

        require_known("format", form, FORMATS, "--format")
        single = Path(source).is_file() or source.endswith(".json")
        bundle = load_solver(source, nfe, edited=edited) if single else None
    bundle = bundle or best_solver(source, nfe, model, edited)
    path = FORMATS[form](bundle, out)
    text = f"{path}: {bundle.name}, {bundle.table.nfe} steps, guidance {bundle.guidance}"
    return Result({"path": str(path), "format": form}, text)


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
