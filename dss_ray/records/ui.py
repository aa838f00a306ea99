"""Serve MLflow's pages on the store that sweeps write."""

import os
import subprocess
import sys

from dss_ray.errors import StoreError, UsageError
from dss_ray.records.mlflow.store import (
    open_client,
    open_experiment,
    tracking_uri,
    translated,
)


def serve_ui(port: int, host: str) -> None:
    """Run ``mlflow ui`` on the sweeps' store until interrupted; standard error says where.

    Args:
        port: to listen on.
        host: to listen on.

    Raises:
        UsageError: if the store is a server, which has its own pages.
        StoreError: if the store cannot be opened, or the server ends by itself.
    """
    uri = tracking_uri()
    if uri.startswith(("http://", "https://", "databricks")):
        raise UsageError(
            "MLFLOW_TRACKING_URI names a tracking server, which serves its own pages; "
            "open its address in a browser"
        )
    with translated(uri):
        experiment = open_experiment(open_client(uri), uri)
    page = f"http://{host}:{port}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    sys.stderr.write(f"sweeps: {page} (under Views one view per sweep; Ctrl-C ends)\n")
    # The address goes through the environment: a command line, and a password in it, is public.
    command = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port)]
    environment = os.environ | {"MLFLOW_BACKEND_STORE_URI": uri}
    server = subprocess.Popen([*command, "--workers", "1"], env=environment)
    try:
        code = server.wait()
    except KeyboardInterrupt:
        stop(server)
        return
    if code:
        raise StoreError(f"mlflow ui ended with code {code}; is port {port} taken?")


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server, which has met the same Ctrl-C, and wait for it."""
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
