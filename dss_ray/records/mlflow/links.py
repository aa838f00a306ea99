"""Where the runs of a sweep can be looked at in MLflow; nothing is written there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from dss_ray.errors import StoreError
from dss_ray.records.mlflow.recorder import IDENTITY, KEY, SWEEP
from dss_ray.records.mlflow.store import EXPERIMENT, open_client, tracking_uri, translated

SERVED = "http://127.0.0.1:5000"  # where ``dss-ray ui`` shows a store that is a file


def run_pages(name: str, identity: str | None) -> dict[str, str]:
    """The address of each run of a sweep by the key of its trial; that of the sweep's own by "".

    Args:
        name: of the sweep.
        identity: what tells it from others of its name, if known.

    Raises:
        StoreError: if there is no store, it cannot be reached, or it has no pages.
    """
    uri = tracking_uri()
    base = pages(uri)
    with translated(uri):
        client = open_client(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return {}
        found, token = dict[str, str](), None
        while True:
            query = f'tags.`{SWEEP}` = "{name}"'
            page = client.search_runs([experiment.experiment_id], query, page_token=token)
            for run in page:
                if identity in (None, run.data.tags.get(IDENTITY)):
                    place = f"{base}/#/experiments/{experiment.experiment_id}/runs/"
                    found.setdefault(run.data.tags.get(KEY, ""), place + run.info.run_id)
            token = page.token
            if not token:
                return found


def pages(uri: str) -> str:
    """The address under which a store shows its pages, without user and password."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    file = re.match(r"sqlite:///([^?]+)", uri)
    if file is None and parts.scheme != "postgresql":
        raise StoreError(f"MLflow's store is of kind '{parts.scheme}', whose pages are not known")
    if file and not Path(file[1]).exists():
        raise StoreError("there is no MLflow store here")
    return SERVED
