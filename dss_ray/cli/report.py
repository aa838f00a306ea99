"""The command ``report``: one HTML page of a sweep, to read anywhere and to pass on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dss_ray.cli import options
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import Result, verb
from dss_ray.errors import DssError, StoreError, require_known

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
    from dss_ray.config.sweep import SweepSettings
    from dss_ray.records.closeups import Closeup
    from dss_ray.records.report_data import Findings
    from dss_ray.records.rows import Row

Notes = dict[str, list[str]]  # sentences on what is missing, by what they are about


@verb
def report(
    name: options.Name,
    *,
    out: options.Page = None,
    model: options.ReportModels = None,
    pictures: options.PictureFolder = None,
) -> Result:
    """Make one HTML page of a sweep, to read anywhere and to pass on."""
    with stage(f"reading {name}"):
        from dss_ray.records.report import render_page, write_page
        from dss_ray.records.report_data import Findings, report_document
        from dss_ray.records.runs import RUNS, sweep_rows
        from dss_ray.tune.folder import is_running

        rows, folder, notes = sweep_rows(RUNS, name), RUNS / name, Notes()
        specs = model_specs(model or [], rows)
        manifest, settings = frozen(folder, notes)
        shares = importances(rows, settings, notes)
    with stage("asking MLflow"):
        runs = run_pages(name, manifest.get("id"), notes)
    closeups = look(rows, folder, specs, settings, notes)
    hours = (settings.resources.cpus, settings.resources.gpus) if settings else (1, 0.0)
    found = Findings(manifest, hours, is_running(folder), shares, runs, closeups, notes)
    with stage("writing the page"):
        document, path = report_document(name, folder, rows, found), out or folder / "report.html"
        write_page(render_page(document), path)
    if pictures:
        with stage("drawing pictures"):
            draw(rows, found, pictures, name)
    text = f"{path}: open it in a browser; it needs no other file and no network"
    return Result({"path": str(path)}, text)


def model_specs(given: Sequence[str], rows: "Sequence[Row]") -> dict[str, str]:
    """How to load each model of the rows: as a user says, or else as the rows do.

    Models that are a user's own code are left out unless a user names them: rows may come from
    anywhere, and to read them must not mean to run what they name.
    """
    from dss_ray.models.spec import short

    named = {short(spec): spec for spec in given}
    known = {short(row.model): row.model for row in rows}
    for name in named:
        require_known("model", name, known, "--model")
    own = {row.model: named.get(short(row.model)) for row in rows}
    shipped = {spec: spec for name, spec in known.items() if ":" not in name}
    return shipped | {spec: chosen for spec, chosen in own.items() if chosen}


def frozen(folder: Path, notes: Notes) -> "tuple[dict[str, Any], SweepSettings | None]":
    """What a sweep wrote down as it began, and its settings where they are a sweep's."""
    from dss_ray.config.sweep import SweepSettings
    from dss_ray.tune.folder import MANIFEST, read_manifest

    try:
        manifest = read_manifest(folder / MANIFEST)
        json.dumps(manifest, allow_nan=False)
    except ValueError:
        notes["settings"] = [f"Settings and versions: {folder / MANIFEST} cannot be read."]
        return {}, None
    try:
        settings = SweepSettings.model_validate(manifest["settings"])
        return manifest, settings if settings.space() else None
    except ValueError:  # a transfer's, or those of another version
        return manifest, None


def importances(
    rows: "Sequence[Row]", settings: "SweepSettings | None", notes: Notes
) -> dict[str, dict[str, dict[str, float]]]:
    """What the figures depend on, per model and figure; a note says why there is nothing."""
    from dss_ray.tune.importance import FEWEST, importances

    if settings is None:
        notes["importances"] = ["The space that was searched is not on record."]
        return {}
    found, space = dict[str, dict[str, dict[str, float]]](), settings.space()
    for model in sorted({row.model for row in rows}):
        found[model] = importances([row for row in rows if row.model == model], space)
    if not all(found.values()):
        notes["importances"] = [
            f"It takes {FEWEST} finished trials that differ in more than their step count to tell "
            "what the figures depend on."
        ]
    return found


def run_pages(name: str, identity: str | None, notes: Notes) -> dict[str, str]:
    """The addresses of the trials' runs; a note says where they open, or why there are none."""
    from dss_ray.records.mlflow.links import SERVED, run_pages

    try:
        found = run_pages(name, identity)
    except StoreError as error:
        notes["runs"] = [f"No links to MLflow: {error}"]
        return {}
    if any(page.startswith(SERVED) for page in found.values()):
        notes["runs"] = ["The links to MLflow open while `dss-ray ui` runs in the sweep's folder."]
    return found


def look(
    rows: "Sequence[Row]",
    folder: Path,
    specs: dict[str, str],
    settings: "SweepSettings | None",
    notes: Notes,
) -> "list[Closeup]":
    """The leaderboard's solvers from near, on those models that can be loaded."""
    from torch import cuda

    from dss_ray.models.spec import short
    from dss_ray.models.zoo import load_model
    from dss_ray.records.closeups import look_closely
    from dss_ray.records.leaderboard import leaderboard_rows

    device = settings.resources.device if settings and cuda.is_available() else "cpu"
    board = [entry for entry in leaderboard_rows(rows) if entry["bundle"]]
    found, missing = list["Closeup"](), list[str]()
    for model in dict.fromkeys(entry["model"] for entry in board):
        if model not in specs:
            missing.append(
                f"{short(model)} is code of its own, which a report runs only where it is named: "
                f"--model {short(model)} adds errors on the way and samples."
            )
            continue
        with stage(f"looking closely at solvers on {short(model)}") as step:
            try:
                network = load_model(specs[model], device)
            except DssError as error:
                missing.append(f"No errors on the way and no samples: {error}")
                continue
            entries = [entry for entry in board if entry["model"] == model]
            views, reasons = look_closely(entries, folder, network, step)
        found, missing = found + views, missing + reasons
    if missing:
        notes["closeups"] = missing
    return found


def draw(rows: "Sequence[Row]", found: "Findings", folder: Path, name: str) -> None:
    """The front, the errors on the way and the importances as PNG files, those that there are."""
    from dss_ray.models.spec import short
    from dss_ray.records.plots import plot_errors, plot_front, plot_importances

    shares = {
        f"{short(model)}: {'FID' if figure == 'fid' else figure}": share
        for model, figures in found.importances.items()
        for figure, share in figures.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    plot_front(rows, folder / "front.png", name)
    if found.closeups:
        plot_errors(found.closeups, folder / "errors.png")
    if shares:
        plot_importances(shares, folder / "importances.png")
