"""The command ``dss-ray``: all commands in one place; each imports what it needs when it runs."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dss_ray.cli import catalogue, clusters, handover, measure, runs
from dss_ray.cli.compare import compare
from dss_ray.cli.examples import epilog
from dss_ray.cli.report import report
from dss_ray.cli.search import search
from dss_ray.cli.transfer import transfer
from dss_ray.cli.ui import ui
from dss_ray.cli.verb import WRONG, complain, terminate_as_interrupt

COMMANDS = (
    runs.sweep,
    runs.leaderboard,
    report,
    runs.runs,
    ui,
    compare,
    search,
    measure.evaluate,
    measure.sample,
    transfer,
    clusters.launch,
    clusters.doctor,
    handover.export,
    handover.reference,
    catalogue.models,
    catalogue.solvers,
    catalogue.schema,
)

app = typer.Typer(
    name="dss-ray",
    help="Search fast ODE solvers for diffusion and flow models.",
    add_completion=False,
    rich_markup_mode=None,  # its help takes twice the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
for command in COMMANDS:
    app.command(epilog=epilog(command.__name__))(command)


def print_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from dss_ray import __version__

        sys.stdout.write(f"dss_ray {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Search fast ODE solvers for diffusion and flow models."""


def main() -> None:
    """Run the command line; ends the process with the exit code."""
    terminate_as_interrupt()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin on busy cores thrash
    sys.path.append(str(Path.cwd()))  # a user's own model is a module in the current folder
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except typer.TyperException as error:
        complain(usage(error))
        sys.exit(WRONG)
    sys.exit(code)


def usage(error: typer.TyperException) -> str:
    """What was wrong with the command line, and where its possibilities are listed."""
    context = getattr(error, "ctx", None)
    place = context.command_path if context else "dss-ray"
    return f"{error.format_message()} (`{place} --help` lists what is possible)"
