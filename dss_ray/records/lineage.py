"""Which run of the tracker each trial of a sweep has, kept beside the sweep's rows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dss_ray.bundle import write_whole

TRACKED: Final = "mlflow_runs.json"


def keep_runs(folder: Path, runs: Mapping[str, str]) -> None:
    """Write the ids of runs by their trials' keys into a sweep's folder."""
    write_whole(json.dumps(dict(runs), indent=1) + "\n", folder / TRACKED)


def trial_run(folder: Path, key: str) -> str | None:
    """The id of a trial's run; None where the sweep's folder does not tell.

    The tracker itself is not asked: one that does not answer would take minutes.
    """
    try:
        found = json.loads((folder / TRACKED).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    run = found.get(key) if isinstance(found, dict) else None
    return run if isinstance(run, str) else None
