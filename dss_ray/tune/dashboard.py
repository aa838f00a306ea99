"""optuna-dashboard on the studies of a sweep; this module is run as a process of its own."""

import sys
from importlib.util import find_spec
from pathlib import Path

from dss_ray.errors import UsageError, require_known
from dss_ray.records.runs import newest, sweep_names
from dss_ray.records.servers import Server
from dss_ray.tune.storage import OWN, open_storage, shared_storage


def dashboard_server(root: Path, sweep: str | None, host: str, port: int) -> Server:
    """The server of the studies in DSS_RAY_STORAGE, or else of those of a sweep in ``root``.

    The process finds the database's address, and a password in it, in its environment.

    Args:
        root: where the sweeps' folders are.
        sweep: the one; None for the one whose study changed last.
        host: to listen on.
        port: to listen on.

    Raises:
        UsageError: if optuna-dashboard is not installed, or there is no such study.
    """
    if find_spec("optuna_dashboard") is None:
        raise UsageError(
            "--optuna: optuna-dashboard is not installed; pip install 'dss_ray[dashboard]'"
        )
    folder = root if shared_storage() else root / studied(root, sweep)
    command = [sys.executable, "-m", __name__, str(folder), host, str(port)]
    return Server("optuna-dashboard", command, host, port)


def studied(root: Path, sweep: str | None) -> str:
    """``sweep``, or the one whose study changed last.

    Raises:
        UsageError: if it has no study in its folder.
    """
    known = [name for name in sweep_names(root) if (root / name / OWN).exists()]
    if not known:
        raise UsageError(f"--optuna: no sweep in ./{root} has a study yet")
    chosen = sweep or newest(root, OWN)
    require_known("sweep with a study", chosen, known, str(root))
    return str(chosen)


def serve(folder: str, host: str, port: str) -> None:
    """Serve until the process ends."""
    from optuna_dashboard import run_server

    run_server(open_storage(Path(folder)), host, int(port))


if __name__ == "__main__":
    serve(*sys.argv[1:])
