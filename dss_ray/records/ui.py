"""MLflow's pages on the store that sweeps write: where they are, and the server of them."""

import sys
from urllib.parse import quote, urlsplit

from dss_ray.errors import UsageError
from dss_ray.records.mlflow.recorder import VIEW
from dss_ray.records.mlflow.store import open_client, open_experiment, tracking_uri, translated
from dss_ray.records.servers import Server

LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # else eight more processes
TRAINING = "workflowType=machine_learning"  # MLflow opens its other half elsewhere


def mlflow_server(host: str, port: int) -> Server | None:
    """The server of the sweeps' store; None where the store is a server itself.

    The store's address goes through the environment: a command line, and a password in it, is
    public.
    """
    uri = tracking_uri()
    if urlsplit(uri).scheme in ("http", "https"):
        return None
    command = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port)]
    environment = {"MLFLOW_BACKEND_STORE_URI": uri} | LEAN
    return Server("mlflow ui", [*command, "--workers", "1"], host, port, environment)


def pages(server: Server | None, sweep: str | None) -> dict[str, str]:
    """The addresses of the runs, those of ``sweep`` first, and of the registered solvers.

    Raises:
        UsageError: if the store has no pages that this command knows.
        StoreError: if it cannot be opened.
    """
    uri = tracking_uri()
    base = server.address if server else public(uri)
    with translated(uri):
        client = open_client(uri)
        experiment = open_experiment(client, uri)
        views = client.get_experiment(experiment).tags
    view = f"&viewStateShareKey={quote(str(sweep))}" if f"{VIEW}{sweep}" in views else ""
    return {
        "runs": f"{base}/#/experiments/{experiment}/runs?{TRAINING}{view}",
        "champions": f"{base}/#/models?{TRAINING}",
    }


def public(uri: str) -> str:
    """The address of a tracking server without user and password."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        raise UsageError(f"MLFLOW_TRACKING_URI names no store that has pages here ({parts.scheme})")
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/")
