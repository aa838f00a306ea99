"""Where the tracker keeps a trial."""

from pathlib import Path
from urllib.parse import urlsplit

from dss_ray.records.mlflow_store import (
    EXPERIMENT,
    IDENTITY,
    KEY,
    open_client,
    tracking_uri,
    translated,
)


def trial_run(sweep: str, key: str, uri: str | None = None) -> str | None:
    """The id of the run of the trial ``key`` in the sweep that has the identity ``sweep``.

    None where the store has no such run; a store in a file that does not exist is not made.

    Raises:
        StoreError: if the store cannot be asked.
    """
    uri = uri or tracking_uri()
    address = urlsplit(uri)
    if address.scheme == "sqlite" and not Path(address.path.removeprefix("/")).exists():
        return None
    with translated(uri):
        client = open_client(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return None
        query = f"tags.`{IDENTITY}` = '{sweep}' AND tags.`{KEY}` = '{key}'"
        found = client.search_runs([experiment.experiment_id], query, max_results=1)
    return str(found[0].info.run_id) if found else None
