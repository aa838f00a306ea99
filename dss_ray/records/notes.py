"""What people read on MLflow's pages, in Markdown."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dss_ray.models.spec import short
from dss_ray.records.leaderboard import Entry, figure, front_name, to_markdown
from dss_ray.records.rows import Row, distance_name

FINALIST = "Finalist: the figures ending in fresh are on seeds that did not select it."
STOPPED = "Stopped early: it was hopeless at its step count."


def pictures(run: str, files: Iterable[Path]) -> list[str]:
    """The pictures among the files of a run, as the tracker's server shows them; solver first."""
    names = sorted((file.name for file in files if file.suffix == ".png"), reverse=True)
    return [f"![{name}](get-artifact?path={quote(name)}&run_uuid={run})" for name in names]


def trial_note(row: Row, shown: Sequence[str]) -> str:
    """What its figures do not say of a trial, and its pictures."""
    if row.status == "failed":
        return f"Failed: {row.error}"
    remarks = [FINALIST] if row.final else [STOPPED] if row.stopped else []
    remarks += [f"Beyond the constraint of {', '.join(row.violated)}."] if row.violated else []
    return "\n\n".join([*remarks, *shown])


def sweep_note(board: Sequence[dict[str, Any]], more: Sequence[str]) -> str:
    """How a sweep went, in a sentence for each model, ``more``, and the leaderboard.

    The last comes last: stores limit the length of a note.
    """
    fronts: dict[str, list[Entry]] = {}
    for entry in board:
        if entry["searched"]:
            fronts.setdefault(front_name(entry), []).append(entry)
    return "\n\n".join(
        [*(f"{n}: {outcome(e)}" for n, e in fronts.items()), *more, to_markdown(board)]
    )


def outcome(entries: Iterable[Entry]) -> str:
    """Where the searched solvers beat the best classical one, and where not."""
    counts: dict[str, list[str]] = {}
    for entry in entries:
        counts.setdefault(entry["verdict"] or "not compared", []).append(str(entry["nfe"]))
    found = [f"{verdict} at {', '.join(nfe)}" for verdict, nfe in sorted(counts.items())]
    return f"against the best classical solver, {'; '.join(found)} queries."


def version_note(entry: Entry, rival: Entry, shown: Sequence[str]) -> str:
    """The figures of a solver beside those of the best classical one, and its pictures."""
    name, seeds = distance_name(entry["features"]), ", ".join(map(str, entry["seeds"]))
    change, error = entry["fid_change"], entry["fid_change_error"]
    figures = (
        f"{name} {distance(entry)} with {entry['nfe']} queries, over seeds {seeds} of "
        f"{entry['samples']:,} samples each. {rival['solver']} on the grid {rival['grid']}, the "
        f"best classical solver there, has {distance(rival)}: a difference of {change:+.4f} ± "
        f"{error:.4f}. rmse {figure(entry['rmse'], '.4f')}, {figure(rival['rmse'], '.4f')} of the "
        "classical one."
    )
    origin = (
        f"{entry['method']} found it from the grid {entry['grid']} in "
        f"{figure(entry['evaluations'], ',d')} network evaluations and "
        f"{figure(entry['seconds'], '.0f')} seconds."
    )
    return "\n\n".join([figures, origin, *shown])


def distance(entry: Entry) -> str:
    """The mean over fresh seeds and their standard deviation."""
    return f"{entry['fid']:.4f} ± {entry['fid_spread']:.4f}"


def model_note(name: str, model: str, nfe: int) -> str:
    """What a registered model is, and how it is used."""
    return (
        f"Solvers of {nfe} queries for {short(model)}, each better than every classical one there. "
        "The alias `champion` is with the best one: it moves only where a new one is better than "
        "that beyond the spread, on the same noises.\n\n"
        "```python\n"
        "import mlflow\n\n"
        f'solver = mlflow.pyfunc.load_model("models:/{name}@champion")\n'
        'images = solver.predict([0, 1, 2], params={"seed": 0})  # one for each label, in [0, 1]\n'
        "table = solver.unwrap_python_model().solver.table\n"
        "```\n\n"
        '`load_model(..., model_config={"device": "cuda"})` takes another device, and '
        '`{"model": "NAME?path=FILE"}` a model whose weights lie elsewhere.\n'
    )
