"""optuna-dashboard on the studies of a sweep; this module is run as a process of its own."""

import sys
from importlib.util import find_spec
from pathlib import Path

from dss_ray.errors import UsageError, unknown
from dss_ray.records.runs import sweep_names
from dss_ray.records.servers import Server
from dss_ray.tune.storage import OWN, open_storage, shared_storage


def dashboard_server(root: Path, sweep: str | None, host: str, port: int) -> Server:
    """The server of the studies in DSS_RAY_STORAGE, or else of those of ``sweep`` in ``root``.

    The process finds the database's address, and a password in it, in its environment.

    Raises:
        UsageError: if optuna-dashboard is not installed, or there is no such study.
    """
    if find_spec("optuna_dashboard") is None:
        raise UsageError(
            "--optuna: optuna-dashboard is not installed; pip install 'dss_ray[dashboard]'"
        )
    if shared_storage() is None and not (sweep and (root / sweep / OWN).exists()):
        raise unknown("sweep with a study", sweep, studied(root) or ["none yet"], str(root))
    command = [sys.executable, "-m", __name__, str(root / (sweep or "")), host, str(port)]
    return Server("optuna-dashboard", command, host, port)


def studied(root: Path) -> list[str]:
    """The sweeps in ``root`` that have a study there."""
    return [name for name in sweep_names(root) if (root / name / OWN).exists()]


def serve(folder: str, host: str, port: str) -> None:
    """Serve until the process ends."""
    from optuna_dashboard import run_server

    run_server(open_storage(Path(folder)), host, int(port))


if __name__ == "__main__":
    serve(*sys.argv[1:])
