"""Where the studies of a sweep live: a file beside its rows, or the database DSS_RAY_STORAGE."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dss_ray.errors import DssError, FileError, StoreError, UsageError
from dss_ray.records.mlflow.store import on_disk, tracking_uri

if TYPE_CHECKING:  # Optuna takes a second to import, which --help must not pay
    from optuna.storages import RDBStorage
    from sqlalchemy import engine

VARIABLE, TRACKING = "DSS_RAY_STORAGE", "MLFLOW_TRACKING_URI"
SECRETS = {"password", "sslpassword"}  # in the query of a URL
OWN = "study.db"  # in the folder of the sweep
DRIVERS = {"postgresql": "postgresql+psycopg"}  # what the extra of that name installs
PATIENCE = 10  # seconds until a server that does not answer is given up


def shared_storage() -> engine.URL | None:
    """The database for the studies of all sweeps; None where each has a file of its own.

    Raises:
        UsageError: if the variable holds no URL.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UsageError(
            f"{VARIABLE}: expected a URL such as postgresql://USER:PASSWORD@HOST/NAME"
        ) from None
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def public_variables() -> dict[str, str]:
    """The variables that name this machine's databases on servers, for a job that uses them too.

    Raises:
        UsageError: if one holds a password: Ray keeps and shows what a job is given.
    """
    named = {VARIABLE: os.environ.get(VARIABLE), TRACKING: os.environ.get(TRACKING)}
    found = {name: text for name, text in named.items() if text and not on_disk(text)}
    for name, text in found.items():
        if secretive(name, text):
            raise UsageError(
                f"{name} holds a password, which Ray would show with the job; leave it out of the "
                "URL and give it to the head as PGPASSWORD or ~/.pgpass, or as "
                "MLFLOW_TRACKING_PASSWORD"
            )
    return found


def secretive(name: str, text: str) -> bool:
    """Whether a URL tells a secret; MLflow takes a token in the user's place."""
    if name == TRACKING:
        return "@" in urlsplit(text).netloc
    url = shared_storage()
    return url is not None and bool(url.password or set(url.query) & SECRETS)


def check_shared(hosts: int) -> None:
    """Refuse to keep a sweep of several machines in a database file of one of them.

    Raises:
        UsageError: that says what to set.
    """
    if hosts < 2:
        return
    url = shared_storage()
    if url is None or url.get_backend_name() == "sqlite":
        raise UsageError(
            f"the cluster has {hosts} machines, and the studies would be a SQLite file of one of "
            f"them; set {VARIABLE} to a database, such as postgresql://USER@HOST/NAME"
        )
    if on_disk(tracking_uri()):
        raise UsageError(
            f"the cluster has {hosts} machines, and MLflow would write to the disk of one of "
            "them; set MLFLOW_TRACKING_URI to a tracking server, such as https://HOST"
        )


def public_name(folder: Path) -> str:
    """The database of a sweep as messages and records may show it: without user and password."""
    from sqlalchemy.engine import URL

    url = shared_storage()
    if url is None:
        return str(folder / OWN)
    shown = URL.create(url.get_backend_name(), None, None, url.host, url.port, url.database)
    return shown.render_as_string()


def open_storage(folder: Path) -> RDBStorage:
    """The database for the sweep in ``folder``; a file that is not there is made.

    Raises:
        FileError: if it cannot be reached or read.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url, options = shared_storage(), dict[str, Any]()
    if url and url.get_backend_name() == "postgresql":
        # A connection that the server has dropped meanwhile is made again.
        options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": PATIENCE}}
    text = url.render_as_string(hide_password=False) if url else f"sqlite:///{folder / OWN}"
    try:
        return optuna.storages.RDBStorage(text, engine_kwargs=options)
    except ImportError as error:
        raise FileError(f"{VARIABLE}: {error}; install dss_ray[postgresql]") from None
    except RuntimeError as error:  # its tables are of another version of Optuna
        raise FileError(f"{public_name(folder)}: {error}") from None
    except failures() as error:
        raise FileError(
            f"{unusable(error, folder)}; restore it, correct {VARIABLE} or use a new --name"
        ) from None


def check_studies(folder: Path) -> str:
    """Make a study in the database and delete it again; the database's name without secrets.

    Raises:
        FileError: if it cannot be reached.
        StoreError: if it refuses.
    """
    import optuna

    with translated(folder):
        storage, name = open_storage(folder), f"check {uuid.uuid4().hex}"
        optuna.create_study(storage=storage, study_name=name)
        optuna.delete_study(storage=storage, study_name=name)
    return public_name(folder)


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """What goes wrong with the database or the disk of a running sweep, as one sentence.

    Raises:
        StoreError: in place of what Optuna, alembic, the database and the disk raise.
    """
    try:
        yield
    except DssError:
        raise
    except failures() as error:
        raise StoreError(
            f"{unusable(error, folder)}; once it can be used again, --resume goes on"
        ) from None


def failures() -> tuple[type[Exception], ...]:
    """What a database or a disk raises; each library has its own."""
    from alembic.util.exc import CommandError
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    return OSError, StorageInternalError, SQLAlchemyError, CommandError


def unusable(error: Exception, folder: Path) -> str:
    """What cannot be used and why, without secrets."""
    if isinstance(error, OSError):
        return f"{error.filename or folder}: cannot be used ({error.strerror or error})"
    cause = error.__cause__ or error  # Optuna hides the reason behind one of its own
    text = " ".join(str(getattr(cause, "orig", cause)).split())
    url = shared_storage()
    for secret in [str(url.password)] if url and url.password else []:
        text = text.replace(secret, "***")
    return f"{public_name(folder)}: no usable study ({text})"
