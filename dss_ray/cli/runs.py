"""The commands on sweeps: run one, show its leaderboard, list them."""

from typing import TYPE_CHECKING, Any

from dss_ray.cli import options
from dss_ray.cli.assignments import overridden
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import DONE, INTERRUPTED, Result, verb
from dss_ray.errors import FileError

if TYPE_CHECKING:  # slow to import, and --help needs none of it
    from dss_ray.config.model_options import Absent
    from dss_ray.config.space import Dimension
    from dss_ray.config.sweep import SweepSettings
    from dss_ray.tune.estimate import Estimate
    from dss_ray.tune.sweep import SweepSummary


@verb
def sweep(
    space: options.Space,
    *,
    name: options.SweepName = None,
    trials: options.Trials = None,
    time_budget: options.TimeBudget = None,
    concurrency: options.Concurrency = None,
    address: options.Address = None,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    assign: options.Assignments = None,
) -> Result:
    """Search many solvers on Ray, ranked beside classical ones."""
    overrides = overridden(
        assign, name=name, trials=trials, time_budget=time_budget, concurrency=concurrency
    )
    with stage(f"checking {space}"):
        from dss_ray.config.read import load_sweep, plan_sweep
        from dss_ray.tune.sweep import run_sweep

        if dry_run:
            return plan(*plan_sweep(space, overrides))
        settings = load_sweep(space, overrides)
    return finished(run_sweep(settings, address=address, resume=resume))


def plan(settings: "SweepSettings", absent: "list[Absent]") -> Result:
    """What a sweep would do, and which paths have to be set before it can."""
    from rich.console import Group
    from rich.table import Table

    from dss_ray.models.spec import short
    from dss_ray.tune.baselines import baseline_jobs
    from dss_ray.tune.estimate import estimate, seconds_per_evaluation

    rough = estimate(settings)
    each = None if absent else seconds_per_evaluation(settings)
    dimensions = [dimension_row(dimension) for dimension in settings.space()]
    document = {
        "name": settings.name,
        "models": list(settings.models),
        "trials": settings.trials * len(settings.models),
        "baselines": sum(1 for _ in baseline_jobs(settings)),
        "dimensions": dimensions,
        "estimate": vars(rough) | {"seconds_per_evaluation": each},
        "absent": [{"key": key, "path": path} for key, path in absent],
    }
    table = Table("dimension", "values", "only when", box=None, pad_edge=False)
    for row in dimensions:
        values = (
            ", ".join(map(short, map(str, row["choice"]))) if row["choice"] else range_text(row)
        )
        when = ", ".join(f"{key} is {' or '.join(map(str, v))}" for key, v in row["when"].items())
        table.add_row(row["name"], values, when)
    evaluation = settings.evaluation
    text = (
        f"{settings.name}: {document['trials']} trials on "
        f"{', '.join(map(short, settings.models))}, "
        f"{evaluation.samples} samples each; {document['baselines']} baseline jobs of "
        f"{len(settings.baselines.methods)} methods on {len(settings.baselines.grids)} grids; "
        f"finalists on {len(evaluation.final_seeds)} seeds of {evaluation.final_samples} samples\n"
        f"{estimate_text(rough, each)}\n"
    )
    lines = [f"--set {key}=PATH  (now {path}, which is not there)" for key, path in absent]
    todo = ["to be set before it can run, here or in the file:", *lines] if absent else []
    return Result(document, Group(text, table, *todo))


def estimate_text(rough: "Estimate", each: float | None) -> str:
    """The cost of a sweep in a sentence or two."""
    space = f"{rough.points:,} points" if rough.points else "a continuous or huge space"
    if rough.evaluations is None or rough.search_evaluations is None:
        cost = f"judging a solver takes {rough.sampling_evaluations:,} network evaluations"
    else:
        cost = (
            f"roughly {rough.search_evaluations:,} network evaluations of a search, "
            f"{rough.sampling_evaluations:,} of judging a solver and {rough.evaluations:,} in all, "
            "teachers apart"
        )
        if each is not None:
            cost += f": {rough.evaluations * each / 3600:.2g} hours of one worker like this machine"
    return f"{space}; {cost}; {rough.megabytes:.0f} MB of disk"


def dimension_row(dimension: "Dimension") -> dict[str, Any]:
    """A dimension as JSON: its choices, or its range."""
    ranged = not dimension.choices
    return {
        "name": dimension.name,
        "choice": list(dimension.choices),
        "range": [dimension.low, dimension.high] if ranged else None,
        "log": dimension.log,
        "step": dimension.step,
        "when": {key: list(values) for key, values in dimension.when},
    }


def range_text(row: dict[str, Any]) -> str:
    """The range of a dimension's row."""
    low, high = row["range"]
    step = "" if row["step"] is None else f" in steps of {row['step']:g}"
    return f"{low:g} to {high:g}{step}{', logarithmic' if row['log'] else ''}"


def finished(summary: "SweepSummary") -> Result:
    """A sweep's leaderboard and what it took; interrupted ones end with their own exit code."""
    from rich.console import Group

    from dss_ray.records.leaderboard import render
    from dss_ray.records.runs import RUNS

    spent = summary.cost
    text = (
        f"{summary.name}: {summary.trials} trials, {summary.failed} failed, {spent['stopped']} "
        f"stopped early, {spent['violated']} beyond a constraint; "
        f"{spent['search_evaluations']:,} network evaluations in searches and "
        f"{spent['sampling_evaluations']:,} in sampling, {spent['cpu_hours']:.2f} CPU and "
        f"{spent['gpu_hours']:.2f} GPU hours; network evaluations filled {summary.busy:.0%} of the "
        f"cores' time; all of it is in {RUNS / summary.name}"
    )
    if summary.registered:
        text += f"\nregistered in MLflow: {'; '.join(map(str, summary.registered))}"
    if summary.spent:
        text += (
            f"\n{summary.spent} is spent, and {summary.left} jobs are left: the same command with "
            f"--resume and a larger {summary.spent} does them"
        )
    if summary.interrupted:
        text += "\ninterrupted: the same command with --resume finishes the rest"
    document = {
        "name": summary.name,
        "trials": summary.trials,
        "failed": summary.failed,
        "cost": summary.cost,
        "spent": summary.spent,
        "left": summary.left,
        "registered": [vars(one) for one in summary.registered],
        "best": summary.board,
    }
    code = INTERRUPTED if summary.interrupted else DONE
    tables = [render(summary.board, summary.name)] if summary.board else []
    return Result(document, Group(*tables, text), code)


@verb
def leaderboard(
    name: options.Name,
    *,
    csv: options.CsvFile = None,
) -> Result:
    """Show the best solvers of a sweep per NFE."""
    from dss_ray.records.leaderboard import leaderboard_rows, render, to_csv
    from dss_ray.records.runs import RUNS, sweep_rows

    board = leaderboard_rows(sweep_rows(RUNS, name))
    if csv:
        try:
            csv.write_text(to_csv(board))
        except OSError as error:
            raise FileError(f"--csv: cannot write {csv} ({error.strerror})") from None
    return Result(board, render(board, name) if board else f"{name}: no finished trial yet")


@verb
def runs() -> Result:
    """List the sweeps in this folder."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from dss_ray.records.runs import RUNS, list_sweeps

    rows = list_sweeps(RUNS)
    table = Table("sweep", "models", "NFE", "done", "failed", "changed (UTC)", box=SIMPLE_HEAD)
    for row in rows:
        nfe, models = ", ".join(map(str, row["nfe"])), ", ".join(row["models"])
        counts = str(row["done"]), str(row["failed"])
        table.add_row(row["name"], models, nfe, *counts, row["changed"])
    return Result(rows, table if rows else f"no sweep in ./{RUNS} yet")
