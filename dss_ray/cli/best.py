"""The best solver of a sweep, joined with its figures and the trial that it comes from."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dss_ray.errors import FileError, UsageError, require_known

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
    from dss_ray.bundle import Bundle, Measured


def best_solver(sweep: str, nfe: int | None, model: str | None, edited: bool) -> "Bundle":
    """The best searched solver of a sweep, with its figures and its origin.

    Raises:
        UsageError: if there is none, or more than one model to choose from.
    """
    from dss_ray.bundle import SweepProvenance, load_bundle
    from dss_ray.records.lineage import trial_run
    from dss_ray.records.runs import RUNS

    row, folder = best_row(sweep, nfe, model), RUNS / sweep
    manifest = readable_manifest(folder)
    bundle = load_bundle(folder / row["bundle"], edited=edited)
    origin = SweepProvenance(
        name=sweep,
        id=manifest.get("id"),
        model=row["model"],
        trial=row["trial"],
        key=row["key"],
        mlflow_run=trial_run(folder, row["key"]),
    )
    metrics = {} if bundle.edited else figures(row, manifest) | own_rmse(bundle)
    return bundle.model_copy(update={"sweep": origin, "metrics": bundle.metrics | metrics})


def best_row(sweep: str, nfe: int | None, model: str | None) -> dict[str, Any]:
    """The leaderboard's row of the best searched solver at ``nfe``."""
    from dss_ray.records.leaderboard import leaderboard_rows
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
    return chosen[0]


def readable_manifest(folder: Path) -> dict[str, Any]:
    """What a sweep was begun with; nothing where that is lost."""
    from dss_ray.tune.folder import MANIFEST, read_manifest

    with suppress(FileError):
        return read_manifest(folder / MANIFEST)
    return {}


def figures(row: dict[str, Any], manifest: dict[str, Any]) -> "dict[str, Measured]":
    """The figures of a leaderboard's row; of finalists the distance is that on fresh seeds."""
    from dss_ray.bundle import Measured
    from dss_ray.records.rows import distance_name

    found = dict[str, Measured]()
    if row["fid"] is not None:
        own, fresh = manifest.get("settings", {}).get("evaluation", {}), row["final"]
        found[distance_name(row["features"])] = Measured.of(
            row["fid_values"] if fresh else [row["fid"]],
            samples=row["samples"],
            seeds=own.get("final_seeds") if fresh else [own["seed"]] if "seed" in own else None,
            domain="evaluation" if fresh else "selection",
        )
    if row["rmse"] is not None:
        found["rmse"] = Measured.of([row["rmse"]], domain="selection")
    return found


def own_rmse(bundle: "Bundle") -> "dict[str, Measured]":
    """The rmse that a bundle has, with the number of samples that its row does not tell."""
    return {name: figure for name, figure in bundle.metrics.items() if name == "rmse"}
