"""MLflow's pages on the store that sweeps write: where they are, and the server of them."""

import sys
from urllib.parse import quote

from dss_ray.records.mlflow.links import address, is_database
from dss_ray.records.mlflow.recorder import VIEW
from dss_ray.records.mlflow.store import open_client, open_experiment, tracking_uri, translated
from dss_ray.records.servers import Server

LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # else eight more processes
TRAINING = "workflowType=machine_learning"  # MLflow opens its other half elsewhere


def mlflow_server(host: str, port: int) -> Server | None:
    """The server of the sweeps' store; None where that has pages of its own.

    The store's address goes through the environment: a command line, and a password in it, is
    public.
    """
    uri = tracking_uri()
    if not is_database(uri):
        return None
    command = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port)]
    environment = {"MLFLOW_BACKEND_STORE_URI": uri} | LEAN
    return Server("mlflow ui", [*command, "--workers", "1"], host, port, environment)


def addresses(server: Server | None, sweep: str | None) -> dict[str, str]:
    """Where the runs are, those of ``sweep`` first, and the registered solvers.

    Raises:
        StoreError: if the store cannot be opened, or has no pages.
    """
    uri = tracking_uri()
    base = server.address if server else address(uri)
    with translated(uri):
        client = open_client(uri)
        experiment = open_experiment(client, uri)
        views = client.get_experiment(experiment).tags
    view = f"&viewStateShareKey={quote(str(sweep))}" if f"{VIEW}{sweep}" in views else ""
    return {
        "runs": f"{base}/#/experiments/{experiment}/runs?{TRAINING}{view}",
        "champions": f"{base}/#/models?{TRAINING}",
    }
