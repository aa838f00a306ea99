"""Open MLflow's store, and say in one sentence why it cannot be used."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dss_ray.errors import StoreError

if TYPE_CHECKING:  # importing mlflow takes seconds, and most commands record nothing
    from mlflow.tracking import MlflowClient

EXPERIMENT = "dss_ray"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # else a dead server takes minutes
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",  # else the project of the current folder is copied
}
CHECKED = "dss.checked"  # tag of the experiment: when a doctor last wrote to the store


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else the file that a plain ``mlflow ui`` in this folder reads."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').resolve()}"


def on_disk(uri: str) -> bool:
    """Whether a store is files of one machine."""
    return urlsplit(uri).scheme in ("", "file", "sqlite")


def check_store(uri: str) -> None:
    """Write to a store: the experiment of all sweeps, and on it the time of this check.

    Raises:
        StoreError: if it cannot be reached, or refuses.
    """
    with translated(uri):
        client = open_client(uri)
        client.set_experiment_tag(open_experiment(client, uri), CHECKED, str(int(time.time())))


def open_client(uri: str) -> MlflowClient:
    """A quiet client: no migration log on a store's first use, no usage data sent."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # logs tracebacks
    return MlflowClient(tracking_uri=uri)


def open_experiment(client: MlflowClient, uri: str) -> str:
    """The id of the experiment of all sweeps; an SQLite file has its artifacts beside it."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        file = re.match(r"sqlite:///([^?]+)", uri)
        folder = (Path(file[1]).resolve().parent / "mlartifacts").as_uri() if file else None
        return str(client.create_experiment(EXPERIMENT, artifact_location=folder))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """MLflow's errors as a StoreError, whose text never holds the password of ``uri``."""
    from alembic.util.exc import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError, ImportError, OSError) as error:
        text = str(error).partition("\n")[0]
        secret = urlsplit(uri).password or ""
        for form in filter(None, (secret, unquote(secret))):
            text = text.replace(form, "***")
        raise StoreError(f"the MLflow store failed: {text}; check MLFLOW_TRACKING_URI") from None
