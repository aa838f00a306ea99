"""Where the runs of a sweep can be looked at in MLflow; nothing is written there."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from dss_ray.errors import StoreError
from dss_ray.records.mlflow.recorder import IDENTITY, KEY, SWEEP
from dss_ray.records.mlflow.store import EXPERIMENT, open_client, tracking_uri, translated

SERVED = "http://127.0.0.1:5000"  # where ``dss-ray ui`` shows a store that is no server
QUERY = f"""
SELECT runs.experiment_id, runs.run_uuid, trial.value, identity.value
FROM runs
JOIN tags AS sweep ON sweep.run_uuid = runs.run_uuid AND sweep.key = '{SWEEP}'
LEFT JOIN tags AS trial ON trial.run_uuid = runs.run_uuid AND trial.key = '{KEY}'
LEFT JOIN tags AS identity ON identity.run_uuid = runs.run_uuid AND identity.key = '{IDENTITY}'
WHERE sweep.value = ? AND runs.lifecycle_stage = 'active'
ORDER BY runs.start_time DESC
"""
Found = tuple[object, str, str | None, str | None]  # experiment, run, trial's key, sweep's identity


def run_pages(name: str, identity: str | None) -> dict[str, str]:
    """The address of each run of a sweep by the key of its trial; that of the sweep's own by "".

    Args:
        name: of the sweep.
        identity: what tells it from others of its name, if known.

    Raises:
        StoreError: if there is no store, it cannot be reached, or it has no pages.
    """
    uri = tracking_uri()
    base, file = address(uri), re.match(r"sqlite:///([^?]+)", uri)
    pages = dict[str, str]()
    for experiment, run, key, sweep in in_file(Path(file[1]), name) if file else asked(uri, name):
        if identity in (None, sweep):
            place = f"{base}/#/experiments/{experiment}/runs/{run}"
            pages.setdefault(key or "", place)  # the newest
    return pages


def address(uri: str) -> str:
    """Where a store shows its pages, without user and password.

    Raises:
        StoreError: if that is not known.
    """
    parts = urlsplit(uri)
    if is_database(uri):
        return SERVED
    if parts.scheme not in ("http", "https"):
        kind = parts.scheme or uri
        raise StoreError(f"MLflow's store is of kind '{kind}', whose pages are not known")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def is_database(uri: str) -> bool:
    """Whether a store is a database, which has no pages of its own."""
    return urlsplit(uri).scheme.partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def in_file(path: Path, name: str) -> list[Found]:
    """The runs in a store that is a file: MLflow takes seconds to open one, and may rewrite it."""
    if not path.exists():
        raise StoreError("there is no MLflow store here")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as store:
            return list(store.execute(QUERY, (name,)))
    except sqlite3.Error as error:
        raise StoreError(f"the MLflow store cannot be read: {error}") from None


def asked(uri: str, name: str) -> Iterator[Found]:
    """The runs that MLflow finds in a store of another kind."""
    with translated(uri):
        client, token = open_client(uri), None
        experiment = client.get_experiment_by_name(EXPERIMENT)
        while experiment:
            query = f'tags.`{SWEEP}` = "{name}"'
            page = client.search_runs([experiment.experiment_id], query, page_token=token)
            for run in page:
                tags = run.data.tags
                yield experiment.experiment_id, run.info.run_id, tags.get(KEY), tags.get(IDENTITY)
            token = page.token
            if not token:
                return
