"""The commands that hand files on: export a solver, make reference statistics."""

from pathlib import Path
from typing import TYPE_CHECKING

from dss_ray.cli import options
from dss_ray.cli.place import bundle_place
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import Result, verb
from dss_ray.errors import UsageError, require_known

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
    from dss_ray.bundle import Bundle

FORMATS = ("bundle", "diffusers")


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
) -> Result:
    """Hand on a bundle, or a sweep's best solver at an NFE."""
    require_known("format", form, FORMATS, "--format")
    if form != "diffusers" and (pipeline or self_contained):
        raise UsageError("--pipeline and --self-contained belong to --format diffusers")
    from dss_ray.bundle import save_bundle

    if Path(source).is_file() or source.endswith(".json"):
        from dss_ray.api import load_solver

        bundle = load_solver(source, nfe)
    else:
        bundle = best(source, nfe, model)
    if form == "diffusers":
        return to_diffusers(bundle, out, pipeline, self_contained)
    path = bundle_place(bundle, out)
    save_bundle(bundle, path)
    text = f"{path}: {bundle.name}, {bundle.table.nfe} steps, guidance {bundle.guidance}"
    return Result({"path": str(path), "format": form}, text)


def to_diffusers(bundle: "Bundle", out: Path, pipeline: str | None, carried: bool) -> Result:
    """Write the scheduler folder ``out``, and say how to sample with it.

    Raises:
        UsageError: if no pipeline is named.
    """
    if pipeline is None:
        raise UsageError(
            "--format diffusers: expected the folder of the pipeline that will sample, for its "
            "scheduler says how its network is asked; name it by --pipeline FOLDER"
        )
    with stage("reading diffusers"):
        from dss_ray.export.scheduler_folder import export_diffusers, usage

        path = export_diffusers(bundle, out, pipeline=pipeline, self_contained=carried)
    return Result({"path": str(path), "format": "diffusers"}, usage(path))


def best(sweep: str, nfe: int | None, model: str | None) -> "Bundle":
    """The best searched solver of a sweep, with its figures.

    Raises:
        UsageError: if there is none, or more than one model to choose from.
    """
    from dss_ray.bundle import load_bundle
    from dss_ray.records.leaderboard import leaderboard_rows
    from dss_ray.records.rows import distance_name
    from dss_ray.records.runs import RUNS, sweep_rows

    board = [row for row in leaderboard_rows(sweep_rows(RUNS, sweep)) if row["searched"]]
    models = sorted({row["model"] for row in board})
    if model is not None:
        require_known("model", model, models, f"sweep '{sweep}'")
    elif len(models) > 1:
        raise UsageError(f"sweep '{sweep}': choose one of its models by --model, {models}")
    mine = [row for row in board if model in (None, row["model"])]
    chosen = [row for row in mine if row["nfe"] == nfe]
    if not chosen:
        found = ", ".join(str(row["nfe"]) for row in mine) or "none yet"
        wanted = "no --nfe" if nfe is None else f"--nfe {nfe}"
        raise UsageError(f"sweep '{sweep}': got {wanted}; it has searched solvers of NFE {found}")
    row = chosen[0]
    figures = {distance_name(row["features"]): row["fid"], "rmse": row["rmse"]}
    bundle = load_bundle(RUNS / sweep / row["bundle"])
    known = {name: figure for name, figure in figures.items() if figure is not None}
    return bundle.model_copy(update={"metrics": bundle.metrics | known})


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
