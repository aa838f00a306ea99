"""The command ``report``: one HTML page of a sweep, to read anywhere and to pass on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dss_ray.cli import options
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import Result, verb
from dss_ray.errors import DssError, StoreError, UsageError, require_known

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
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
) -> Result:
    """Make one HTML page of a sweep, to read anywhere and to pass on."""
    with stage(f"reading {name}"):
        from dss_ray.records.report import render_page, write_page
        from dss_ray.records.report_data import Findings, report_document
        from dss_ray.records.runs import RUNS, sweep_rows
        from dss_ray.tune.folder import MANIFEST, is_running, read_manifest

        rows, folder, notes = sweep_rows(RUNS, name), RUNS / name, Notes()
        specs, manifest = model_specs(model or [], rows), dict[str, Any]()
        try:
            manifest = read_manifest(folder / MANIFEST)
        except UsageError:
            notes["settings"] = [f"Settings and versions: {folder / MANIFEST} cannot be read."]
        shares = importances(rows, manifest.get("settings", {}), notes)
    with stage("asking MLflow"):
        runs = run_pages(name, manifest.get("id"), notes)
    closeups = look(rows, folder, specs, notes)
    found = Findings(manifest, is_running(folder), shares, runs, closeups, notes)
    with stage("writing the page"):
        document, path = report_document(name, folder, rows, found), out or folder / "report.html"
        write_page(render_page(document), path)
        pictures = draw(rows, found, folder / "pictures", name)
    text = f"{path}: open it in a browser; it needs no other file and no network\n{pictures}"
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


def importances(
    rows: "Sequence[Row]", settings: dict[str, Any], notes: Notes
) -> dict[str, dict[str, dict[str, float]]]:
    """What the figures depend on, per model and figure; a note says why there is nothing."""
    from pydantic import ValidationError

    from dss_ray.config.sweep import SweepSettings
    from dss_ray.tune.importance import FEWEST, importances

    found = dict[str, dict[str, dict[str, float]]]()
    try:
        space = SweepSettings.model_validate(settings).space()
    except (ValidationError, UsageError):
        notes["importances"] = [
            "The settings of a sweep, with the space it searched, are not here."
        ]
        return found
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
    rows: "Sequence[Row]", folder: Path, specs: dict[str, str], notes: Notes
) -> "list[Closeup]":
    """The leaderboard's solvers from near, on those models that can be loaded."""
    from dss_ray.models.spec import short
    from dss_ray.models.zoo import load_model
    from dss_ray.records.closeups import look_closely
    from dss_ray.records.leaderboard import leaderboard_rows

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
                network = load_model(specs[model])
            except DssError as error:
                missing.append(f"No errors on the way and no samples: {error}")
                continue
            entries = [entry for entry in board if entry["model"] == model]
            views, reasons = look_closely(entries, folder, network, step)
        found, missing = found + views, missing + reasons
    if missing:
        notes["closeups"] = missing
    return found


def draw(rows: "Sequence[Row]", found: "Findings", folder: Path, name: str) -> str:
    """The report's pictures as PNGs, for papers and web pages; a sentence that says where."""
    from dss_ray.models.spec import short
    from dss_ray.records.plots import plot_errors, plot_front, plot_importances

    shares = {
        f"{short(model)}: {'FID' if figure == 'fid' else figure}": share
        for model, figures in found.importances.items()
        for figure, share in figures.items()
    }
    if not any(row.status == "done" for row in rows):
        return "no pictures: no trial is done"
    try:
        folder.mkdir(exist_ok=True)
        plot_front(rows, folder / "front.png", name)
        if found.closeups:
            plot_errors(found.closeups, folder / "errors.png")
        if shares:
            plot_importances(shares, folder / "importances.png")
    except OSError as error:
        return f"{folder}: no pictures, it cannot be written ({error.strerror})"
    return f"{folder}: front, errors and importances as pictures"
