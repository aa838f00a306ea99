"""The command ``search``: one inner search, without Ray."""

from pathlib import Path
from typing import TYPE_CHECKING

from dss_ray.cli import options
from dss_ray.cli.assignments import search_settings
from dss_ray.cli.place import bundle_place, unused
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import Result, verb

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
    from dss_ray.bundle import Bundle
    from dss_ray.solver.table import SolverTable

RMSE_SAMPLES = 2000  # evaluation noises that the error is measured on


@verb
def search(
    model: options.Model,
    *,
    nfe: options.SearchNfe,
    method: options.Method = "least-squares+gauss-newton",
    guidance: options.SearchGuidance = 1.0,
    grid: options.StartGrid = "auto",
    start: options.Start = "ab2",
    samples: options.SearchSamples = None,
    seed: options.Seed = 0,
    assign: options.SearchAssignments = None,
    out: options.BundleFile = None,
) -> Result:
    """Search one fast solver for a model, without Ray; after an interruption the same goes on."""
    path = unused(out, "--out") if out else None
    with stage(f"loading {model}"):
        from dss_ray import api
        from dss_ray.bundle import Measured, save_bundle
        from dss_ray.config.checks import check_grid, located
        from dss_ray.search.run import parse_chain

        network = api.load_model(model)
    located("--method", parse_chain, method)  # before the teacher is solved: it may take minutes
    located("--grid", check_grid, grid)
    table, settings = starting_table(start, nfe), search_settings(assign or [], seed, samples)
    places = list[Path]()

    def keep(bundle: "Bundle") -> None:
        """Write the bundle while the state of the search still lies beside it."""
        places.append(path or bundle_place(bundle, Path()))
        save_bundle(bundle, places[0])

    with stage(f"searching {nfe} steps by {method}") as step:
        found = api.search(
            network,
            nfe,
            method=method,
            guidance=guidance,
            grid=grid,
            start=table,
            settings=settings,
            resume=True,
            keep=keep,
            progress=step,
        )
    if isinstance(found.guidance, float):  # scales that differ have no teacher to compare with
        with stage(f"measuring on {RMSE_SAMPLES} fresh noises") as step:
            measured = api.evaluate(
                found, network, samples=RMSE_SAMPLES, seeds=(0,), metrics=("rmse",), progress=step
            )
        values = measured.metrics["rmse"].values
        rmse = Measured.of(values, samples=RMSE_SAMPLES, seeds=(0,), domain="evaluation")
        found = found.model_copy(update={"metrics": {"rmse": rmse}})
        save_bundle(found, places[0])
    return described(found, places[0])


def starting_table(start: str, nfe: int) -> "str | SolverTable":
    """The name of a classical solver as it is, anything else as the table that it stands for."""
    from dss_ray.api import load_solver
    from dss_ray.solver.classical import CLASSICAL

    return start if start in CLASSICAL else load_solver(start, nfe).table


def described(bundle: "Bundle", path: Path) -> Result:
    """What a searched bundle is and what it took."""
    found, measured = bundle.search, bundle.metrics.get("rmse")
    assert found
    rmse = measured.mean if measured else None
    document = {
        "bundle": str(path),
        "rmse": rmse,
        "evaluations": found.evaluations,
        "seconds": found.seconds,
        "nfe": bundle.table.nfe,
        "method": found.method,
    }
    scales = bundle.guidance if isinstance(bundle.guidance, tuple) else (bundle.guidance,)
    error = "-, since no teacher has a guidance that differs between steps"
    if rmse is not None:
        error = f"{rmse:.5f} to the converged teacher, on {RMSE_SAMPLES} noises not searched on"
    text = (
        f"{path}\n"
        f"  solver: {bundle.table.nfe} steps, {found.method} from grid {found.grid}, "
        f"guidance {', '.join(f'{scale:g}' for scale in scales)}\n"
        f"  rmse: {error}\n"
        f"  search: {found.seconds:.1f} s, {found.evaluations:,} network evaluations\n"
        f"  teacher: {found.reference_seconds:.1f} s, {found.reference_evaluations:,} network "
        "evaluations, once for all searches"
    )
    return Result(document, text)
