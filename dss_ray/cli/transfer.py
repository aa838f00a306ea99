"""The command that measures how solvers carry over from model to model."""

from dss_ray.cli import options
from dss_ray.cli.measure import numbers
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import Result, verb


@verb
def transfer(
    solvers: options.Solvers = None,
    *,
    models: options.Models,
    nfe: options.TransferNfe = "5,6,8,10",
    name: options.TransferName = "transfer",
    guidance: options.SearchGuidance = 1.0,
    method: options.Method = "least-squares+gauss-newton",
    samples: options.TransferSamples = 1000,
    seeds: options.Seeds = "0",
    resume: options.Resume = False,
) -> Result:
    """Measure solvers on other models than they were searched on; without SOLVERS, search them."""
    values = {
        "name": name,
        "models": models.split(","),
        "nfe": numbers(nfe, "--nfe"),
        "solvers": solvers or (),
        "guidance": guidance,
        "method": method,
        "samples": samples,
        "seeds": numbers(seeds, "--seeds"),
    }
    with stage("loading the models"):
        from rich.console import Group

        from dss_ray.config.transfer import transfer_settings
        from dss_ray.records.transfer import render_transfer
        from dss_ray.tune.transfer import run_transfer

        settings = transfer_settings(values)
    with stage("transfer") as step:
        rows = run_transfer(settings, step, resume=resume)
    seen = f"of {samples:,} samples, over the best classical solver's"
    tables = [
        render_transfer(rows, "rmse", f"rmse {seen}"),
        render_transfer(rows, "fid", f"FID under each model's own extractor {seen}"),
    ]
    folder = f"pictures and rows: runs/{name}"
    return Result([row.model_dump(mode="json") for row in rows], Group(*tables, folder))
