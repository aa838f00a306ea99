"""The commands on one solver: search, evaluate and sample."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dss_ray.cli.options import Grid, Guidance, Model, Nfe, OnModel, Solver, free, numbers, unused
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import Result, verb
from dss_ray.errors import UsageError

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
    from dss_ray.bundle import Bundle
    from dss_ray.models.protocol import VelocityModel
    from dss_ray.solver.table import SolverTable

RMSE_SAMPLES = 2000


@verb
def search(
    model: Model,
    *,
    nfe: Annotated[int, typer.Option(min=1, help="Network queries of the solver.")],
    method: Annotated[
        str,
        typer.Option(help="A search method, or a chain such as least-squares+gradient."),
    ] = "least-squares",
    guidance: Annotated[float, typer.Option(help="Guidance scale to search at.")] = 1.0,
    grid: Annotated[
        str, typer.Option(help="Starting grid; auto tries several by least squares.")
    ] = "auto",
    start: Annotated[
        str, typer.Option(help="Starting table: a classical solver's name or a bundle file.")
    ] = "ab2",
    samples: Annotated[
        int | None, typer.Option(min=1, help="Teacher trajectories to aim at; 256 unless given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the search's noises.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write; MODEL-NFE-METHOD.json, numbered if taken."),
    ] = None,
) -> Result:
    """Search one fast solver for a model, write it as a bundle and measure its error."""
    path = unused(out, "--out") if out else None
    with stage(f"loading {model}"):
        from dss_ray import api
        from dss_ray.config.sweep import check_grid
        from dss_ray.search.result import SearchSettings
        from dss_ray.search.run import parse_chain

        network = api.load_model(model)
    parse_chain(method)
    check_grid(grid)
    chosen = {} if samples is None else {"samples": samples}
    with stage(f"searching {nfe} steps by {method}"):
        bundle = api.search(
            network,
            nfe,
            method=method,
            guidance=guidance,
            grid=grid,
            start=starting_table(start, nfe),
            settings=SearchSettings(seed=seed, **chosen),
        )
    with stage(f"measuring on {RMSE_SAMPLES} fresh noises") as step:
        measured = api.evaluate(
            bundle, network, samples=RMSE_SAMPLES, seeds=(0,), metrics=("rmse",), progress=step
        )
    bundle = bundle.model_copy(update={"metrics": {"rmse": measured.metrics["rmse"].mean}})
    path = path or free(Path(default_name(bundle)))
    return saved(bundle, path)


def starting_table(start: str, nfe: int) -> "str | SolverTable":
    """The name of a classical solver as it is, anything else as the table that it stands for."""
    from dss_ray.api import load_solver
    from dss_ray.solver.classical import CLASSICAL

    return start if start in CLASSICAL else load_solver(start, nfe).table


def default_name(bundle: "Bundle") -> str:
    """A file name that says model, steps, method and guidance."""
    assert bundle.search
    guidance = "" if bundle.guidance == 1 else f"-guidance-{bundle.guidance:g}"
    name = f"{bundle.model}-{bundle.table.nfe}-{bundle.search.method}{guidance}"
    return re.sub(r"[^\w.+-]+", "-", name) + ".json"


def saved(bundle: "Bundle", path: Path) -> Result:
    """Write a searched bundle and say what it is and what it took."""
    from dss_ray.bundle import save_bundle

    save_bundle(bundle, path)
    found, rmse = bundle.search, bundle.metrics["rmse"]
    assert found
    text = (
        f"{path}\n"
        f"  {bundle.table.nfe} steps, {found.method} from grid {found.grid}, "
        f"guidance {bundle.guidance:g}\n"
        f"  rmse {rmse:.5f} to the converged teacher, on {RMSE_SAMPLES} noises it has not seen\n"
        f"  search: {found.seconds:.1f} s, {found.evaluations:,} network evaluations\n"
        f"  teacher: {found.reference_seconds:.1f} s, {found.reference_evaluations:,} network "
        "evaluations, shared by all searches at this guidance"
    )
    document = {
        "bundle": str(path),
        "rmse": rmse,
        "evaluations": found.evaluations,
        "seconds": found.seconds,
        "nfe": bundle.table.nfe,
        "method": found.method,
    }
    return Result(document, text)


def load(
    solver: str, model: str, nfe: int | None, grid: str, guidance: float | None
) -> "tuple[Bundle, VelocityModel]":
    """Solver and model; a guidance that is given replaces a bundle's own."""
    with stage(f"loading {model}"):
        from dss_ray import api

        network = api.load_model(model)
        bundle = api.load_solver(solver, nfe, grid, model=network)
    if guidance is not None:
        bundle = bundle.model_copy(update={"guidance": guidance})
    return bundle, network


@verb
def evaluate(
    solver: Solver,
    *,
    model: OnModel,
    nfe: Nfe = None,
    grid: Grid = "uniform",
    guidance: Guidance = None,
    samples: Annotated[int, typer.Option(min=2, help="Samples per seed.")] = 2000,
    seeds: Annotated[str, typer.Option(help="Evaluation seeds.")] = "0,1,2",
    metrics: Annotated[str, typer.Option(help="fid, rmse or both.")] = "fid,rmse",
) -> Result:
    """Measure a solver on a model: FID and rmse over several evaluation seeds."""
    from rich.table import Table

    chosen = numbers(seeds, "--seeds")
    bundle, network = load(solver, model, nfe, grid, guidance)
    with stage(f"evaluating {bundle.name}") as step:
        from dss_ray.api import evaluate as measure
        from dss_ray.evaluation.figures import fid_name

        found = measure(
            bundle,
            network,
            samples=samples,
            seeds=chosen,
            metrics=metrics.split(","),
            progress=step,
        )
    title = f"{bundle.name} on {network.name}: {found.nfe} steps, guidance {bundle.guidance}"
    table = Table("metric", "mean", "spread over seeds", title=f"{title}, {samples} samples a seed")
    for name, figure in found.metrics.items():
        label = fid_name(found.features) if name == "fid" and found.features else name
        spread = "-" if figure.spread is None else f"{figure.spread:.5f}"
        table.add_row(label.replace("[", r"\["), f"{figure.mean:.5f}", spread)
    return Result(asdict(found), table)


@verb
def sample(
    solver: Solver,
    *,
    model: OnModel,
    out: Annotated[Path, typer.Option("-o", "--out", help="PNG file to write.")],
    nfe: Nfe = None,
    grid: Grid = "uniform",
    guidance: Guidance = None,
    samples: Annotated[int, typer.Option(min=1, help="Pictures in each row.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the noises.")] = 0,
    compare: Annotated[
        str, typer.Option(help="Solvers for further rows on the same noises: ab2,teacher.")
    ] = "",
) -> Result:
    """Draw pictures with a solver, beside those of other solvers on the same noises."""
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out: expected a .png file, got '{out}'")
    bundle, network = load(solver, model, nfe, grid, guidance)
    from torch import cat

    from dss_ray import api
    from dss_ray.records.plots import plot_samples

    assert isinstance(bundle.guidance, float)
    scale = bundle.guidance
    others = [name for name in compare.split(",") if name]
    solvers = {bundle.name: bundle} | {
        name: api.load_solver(name, bundle.table.nfe, grid, scale, model=network)
        for name in others
        if name != "teacher"
    }
    with stage("drawing"):
        rows = {name: api.sample(one, network, samples, seed) for name, one in solvers.items()}
        if "teacher" in others:
            rows["teacher"] = api.teacher_images(network, scale, samples, seed)
        out.parent.mkdir(parents=True, exist_ok=True)
        plot_samples(cat(list(rows.values())), out, samples, list(rows))
    shown = ", ".join(rows)
    return Result({"path": str(out)}, f"{out}: {samples} samples each of {shown}, on equal noises")
