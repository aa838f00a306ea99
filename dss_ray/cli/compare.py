"""The command that sets sweeps, or solvers, side by side."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dss_ray.cli import options
from dss_ray.cli.measure import metric_names, numbers
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import Result, verb
from dss_ray.errors import UsageError, unknown

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
    from dss_ray.bundle import Bundle
    from dss_ray.models.protocol import VelocityModel


@verb
def compare(
    names: options.Compared,
    *,
    model: options.MeasuredOn = None,
    nfe: options.Nfe = None,
    grid: options.Grid = "uniform",
    guidance: options.Guidance = None,
    samples: options.Samples = 2000,
    seeds: options.Seeds = "0,1,2",
    metrics: options.Metrics = "fid,rmse",
) -> Result:
    """Set sweeps, or solvers, side by side: what differs, and who is better than the first.

    Sweeps have their figures; solvers are measured on the same noises, as the options say.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        got = ", ".join(names)
        raise UsageError(f"compare: expected two or more different sweeps or solvers, got {got}")
    with stage("reading"):
        kinds = {name: kind(name) for name in names}
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{name} is a {kind}" for name, kind in kinds.items())
        raise UsageError(
            f"compare: {found}; sweeps go with sweeps and solvers with solvers, and `dss-ray "
            "export SWEEP --nfe N` makes a solver of a sweep's best"
        )
    if "sweep" in kinds.values():
        return compared_sweeps(names)
    chosen, wanted = numbers(seeds, "--seeds"), metric_names(metrics)
    solvers, network = loaded(names, model, nfe, grid, guidance)
    return compared_solvers(solvers, network, samples, chosen, wanted)


def kind(name: str) -> str:
    """Whether ``name`` is a sweep or a solver.

    Raises:
        UsageError: if it is neither, with the nearest of all that there are.
    """
    from dss_ray.records.runs import RUNS, sweep_names
    from dss_ray.solver.classical import CLASSICAL
    from dss_ray.solver.published import published_names

    sweeps, solvers = sweep_names(RUNS), [*CLASSICAL, *published_names()]
    if name in sweeps:
        return "sweep"
    if name in solvers or name.endswith(".json") or Path(name).is_file():
        return "solver"
    raise unknown("sweep or solver", name, [*sweeps, *solvers, "a bundle file"], "compare")


def compared_sweeps(names: Sequence[str]) -> Result:
    """The settings of sweeps, what they came to, and their best solvers."""
    from rich.console import Group

    from dss_ray.records import side_by_side as side
    from dss_ray.records.runs import RUNS, sweep_rows
    from dss_ray.tune.folder import MANIFEST, read_manifest

    rows = {name: sweep_rows(RUNS, name) for name in names}
    settings = {name: read_manifest(RUNS / name / MANIFEST)["settings"] for name in names}
    for name, own in settings.items():
        if "search" not in own:
            raise UsageError(f"compare: {name} is a transfer, not a sweep; see {RUNS / name}")
        own.pop("name", None)
        own["search"] = {key: json.dumps(value) for key, value in own["search"].items()}
    differences, found = side.differing(settings), side.best_solvers(rows)
    totals = {name: side.total(rows[name], settings[name]) for name in names}
    tables = [side.render_solvers(found, names[0])] if found else ["no finished trial yet"]
    text = Group(side.render_settings(differences), side.render_totals(totals), *tables)
    return Result({"settings": differences, "totals": totals, "rows": found}, text)


def loaded(
    names: Sequence[str], model: str | None, nfe: int | None, grid: str, guidance: float | None
) -> "tuple[dict[str, Bundle], VelocityModel]":
    """The solvers, and the model to measure them on: the one that they were searched on, if any.

    Solvers known by name take the steps and the guidance of the first bundle where none are given.
    """
    with stage("loading"):
        from dss_ray import api
        from dss_ray.config.checks import check_grid, located
        from dss_ray.solver.classical import CLASSICAL

        located("--grid", check_grid, grid)
        files = {name: api.load_solver(name, nfe) for name in names if Path(name).is_file()}
        network = api.load_model(model or searched_on(files.values()))
        first = next(iter(files.values()), None)
        steps = nfe if nfe or first is None else first.table.nfe
        own = first.guidance if first and isinstance(first.guidance, float) else 1.0
        scale = own if guidance is None else guidance
        solvers = {
            name: api.load_solver(
                name, steps if name in CLASSICAL else nfe, grid, scale, model=network
            )
            for name in names
        }
    if guidance is not None:
        solvers = {n: one.model_copy(update={"guidance": guidance}) for n, one in solvers.items()}
    return solvers, network


def searched_on(bundles: "Iterable[Bundle]") -> str:
    """The one model that the bundles were searched on.

    Raises:
        UsageError: if there are several or none.
    """
    models = sorted({bundle.model for bundle in bundles if bundle.model})
    if len(models) == 1:
        return models[0]
    found = f"the solvers come from {', '.join(models)}" if models else "none comes from a search"
    raise UsageError(f"compare: {found}; name the model to measure them on as --model")


def compared_solvers(
    solvers: "dict[str, Bundle]",
    network: "VelocityModel",
    samples: int,
    seeds: Sequence[int],
    metrics: Sequence[str],
) -> Result:
    """What tells solvers apart, and their figures on the same noises."""
    from rich.console import Group

    from dss_ray import api
    from dss_ray.records.measured import origin, render_measured, solver_rows
    from dss_ray.records.side_by_side import differing, render_settings

    found, each = {}, samples * len(seeds)
    with stage("measuring", "samples") as step:
        for number, (name, bundle) in enumerate(solvers.items()):
            begun = number * each
            found[name] = api.evaluate(
                bundle,
                network,
                samples=samples,
                seeds=seeds,
                metrics=metrics,
                progress=lambda done, _: step(begun + done, len(solvers) * each),  # noqa: B023
            )
    differences = differing({name: origin(bundle) for name, bundle in solvers.items()})
    rows = solver_rows(solvers, found)
    caption = (
        f"on {network.name}: {samples:,} samples of each of the seeds {', '.join(map(str, seeds))}"
    )
    tables = [render_settings(differences)] if differences else []
    text = Group(*tables, caption, render_measured(rows))
    return Result({"settings": differences, "rows": rows}, text)
