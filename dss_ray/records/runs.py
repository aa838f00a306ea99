"""Find the sweeps under a folder and read their rows."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dss_ray.errors import unknown
from dss_ray.records.rows import Row, read_rows

RUNS: Final = Path("runs")  # each sweep has a folder there
ROWS_FILE: Final = "rows.jsonl"


def sweep_rows(root: Path, name: str) -> list[Row]:
    """The rows of the sweep ``name`` in the folder ``root``.

    Raises:
        UsageError: if there is no such sweep, with the nearest name and all that there are.
        FileError: if its rows are corrupt.
    """
    require_sweep(root, name)
    return read_rows(root / name / ROWS_FILE)


def require_sweep(root: Path, name: str) -> None:
    """Raise UsageError unless there is a sweep of that name in ``root``."""
    names = sweep_names(root)
    if name not in names:
        raise unknown("sweep", name, names or ["none yet"], where=str(root))


def newest(root: Path, file: str = ROWS_FILE) -> str | None:
    """The sweep in ``root`` whose ``file`` changed last; None where none has it."""
    files = [root / name / file for name in sweep_names(root)]
    changed = {file.stat().st_mtime: file.parent.name for file in files if file.exists()}
    return changed[max(changed)] if changed else None


def sweep_names(root: Path) -> list[str]:
    """The names of the sweeps in ``root``, sorted."""
    return sorted(path.name for path in root.glob("*") if path.is_dir())


def list_sweeps(root: Path) -> list[dict[str, Any]]:
    """Per sweep with rows: name, models, NFEs, trials done and failed, last change in UTC."""
    names = [name for name in sweep_names(root) if (root / name / ROWS_FILE).exists()]
    return [summary(root / name) for name in names]


def summary(folder: Path) -> dict[str, Any]:
    """What one sweep's folder holds, JSON-ready."""
    path = folder / ROWS_FILE
    rows = read_rows(path)
    ended = [row.status for row in rows if row.searched]
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return {
        "name": folder.name,
        "models": sorted({row.model for row in rows}),
        "nfe": sorted({row.nfe for row in rows}),
        "done": ended.count("done"),
        "failed": ended.count("failed"),
        "changed": changed.isoformat(timespec="seconds"),
    }
