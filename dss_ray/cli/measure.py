"""The commands that use a solver on a model: evaluate and sample."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from dss_ray.cli import options
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import Result, verb
from dss_ray.errors import UsageError, require_known

if TYPE_CHECKING:  # torch is slow to import, and --help needs none of it
    from dss_ray.api import Evaluated
    from dss_ray.bundle import Bundle
    from dss_ray.models.protocol import VelocityModel

TEACHER = "teacher"  # in --compare: the converged reference


@verb
def evaluate(
    solver: options.Solver,
    *,
    model: options.OnModel,
    nfe: options.Nfe = None,
    grid: options.Grid = "uniform",
    guidance: options.Guidance = None,
    samples: options.Samples = 2000,
    seeds: options.Seeds = "0,1,2",
    metrics: options.Metrics = "fid,rmse",
    features: options.Judging = None,
    statistics: options.Statistics = None,
    address: options.EvaluationAddress = None,
) -> Result:
    """Measure a solver on a model over seeds: FID, sFID, precision, recall, rmse and more."""
    chosen = numbers(seeds, "--seeds")
    bundle, network = load(solver, model, nfe, grid, guidance)
    from dss_ray import api
    from dss_ray.evaluation.judge import Judge

    names, judge = metric_names(metrics), Judge(features, statistics)
    with stage(f"evaluating {bundle.name}", "samples") as step:
        if address is None:
            found = api.evaluate(
                bundle,
                network,
                samples=samples,
                seeds=chosen,
                metrics=names,
                judge=judge,
                progress=step,
            )
        else:
            from dss_ray.tune.sharded import evaluate_on_cluster

            found = evaluate_on_cluster(
                bundle,
                model,
                samples=samples,
                seeds=chosen,
                metrics=names,
                judge=judge,
                address=address,
                progress=step,
            )
    return measured(found, f"{bundle.name} on {network.name}", bundle.guidance, samples)


def metric_names(text: str) -> list[str]:
    """The metrics of a list such as ``fid,rmse``."""
    from dss_ray.evaluation.figures import METRICS

    for name in text.split(","):
        require_known("metric", name, METRICS, "--metrics")
    return text.split(",")


def numbers(text: str, option: str) -> tuple[int, ...]:
    """The integers of a list such as ``0,1,2``.

    Raises:
        UsageError: if ``text`` is something else.
    """
    try:
        return tuple(int(item) for item in text.split(","))
    except ValueError:
        raise UsageError(f"{option}: expected integers such as 0,1,2, got '{text}'") from None


def load(
    solver: str, model: str, nfe: int | None, grid: str, guidance: float | None
) -> "tuple[Bundle, VelocityModel]":
    """Solver and model; a guidance that is given replaces a bundle's own."""
    with stage(f"loading {model}"):
        from dss_ray import api
        from dss_ray.config.checks import check_grid, located

        network = api.load_model(model)
        located("--grid", check_grid, grid)
        bundle = api.load_solver(solver, nfe, grid, model=network)
    if guidance is not None:
        bundle = bundle.model_copy(update={"guidance": guidance})
    return bundle, network


def measured(found: "Evaluated", title: str, guidance: object, samples: int) -> Result:
    """The figures as a table, the distance under the name of its extractor."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table

    from dss_ray.evaluation.figures import metric_name

    table = Table("metric", "mean", "spread over seeds", box=SIMPLE_HEAD, pad_edge=False)
    for name, figure in found.metrics.items():
        spread = "-" if figure.spread is None else f"{figure.spread:.5f}"
        table.add_row(metric_name(name, found.features), f"{figure.mean:.5f}", spread)
    caption = f"{title}: {found.nfe} steps, guidance {guidance}, {samples:,} samples a seed"
    return Result(asdict(found), Group(caption, table))


@verb
def sample(
    solver: options.Solver,
    *,
    model: options.OnModel,
    out: options.Picture,
    nfe: options.Nfe = None,
    grid: options.Grid = "uniform",
    guidance: options.Guidance = None,
    samples: options.Pictures = 10,
    seed: options.Seed = 0,
    compare: options.Compare = "",
) -> Result:
    """Draw pictures, beside those of other solvers."""
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out: expected a .png file, got '{out}'")
    bundle, network = load(solver, model, nfe, grid, guidance)
    from torch import cat

    from dss_ray import api
    from dss_ray.records.sample_plot import plot_samples

    scale, steps = bundle.guidance, bundle.table.nfe
    others = {
        name: None if name == TEACHER else api.load_solver(name, steps, grid, scale, model=network)
        for name in filter(None, compare.split(","))
    }
    with stage("drawing"):
        rows = {
            name: api.sample(one, network, samples, seed)
            if one
            else api.teacher_images(network, scale, samples, seed)
            for name, one in ({bundle.name: bundle} | others).items()
        }
        if rows[bundle.name].ndim != 4:
            raise UsageError(f"model '{model}' makes no images; choose one that does")
        out.parent.mkdir(parents=True, exist_ok=True)
        plot_samples(cat(list(rows.values())), out, samples, list(rows))
    text = f"{out}: {samples} samples each of {', '.join(rows)}, on the same noises"
    return Result({"path": str(out)}, text)
