"""The folder ``runs/NAME`` of a sweep or a transfer: claimed once, resumed alike, locked."""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dss_ray.bundle import software_versions
from dss_ray.config.sweep import SweepSettings
from dss_ray.config.transfer import TransferSettings
from dss_ray.errors import FileError, UsageError
from dss_ray.records.runs import RUNS

MANIFEST = "manifest.json"
Settings = SweepSettings | TransferSettings


def place(settings: Settings, resume: bool) -> Path:
    """The folder of a new sweep, or of an earlier one whose settings are the same; nothing is made.

    Raises:
        UsageError: if a new sweep's name exists, or an old one's does not, or settings differ.
    """
    folder = RUNS / settings.name
    if resume:
        check_same(folder / MANIFEST, settings)
    elif any((folder / name).exists() for name in (MANIFEST, "rows.jsonl", "study.db")):
        raise UsageError(
            f"sweep '{settings.name}' exists in {folder}: add --resume to go on with it, or "
            "choose another --name"
        )
    return folder


def freeze(folder: Path, settings: Settings) -> None:
    """Write the settings of a new sweep down, with an identity and the software's versions."""
    manifest = {
        "id": uuid.uuid4().hex,
        "settings": settings.model_dump(mode="json"),
        "versions": software_versions(),
    }
    draft = folder / f"{MANIFEST}.tmp"
    draft.write_text(json.dumps(manifest, indent=1) + "\n")
    draft.replace(folder / MANIFEST)


def check_same(frozen: Path, settings: Settings) -> None:
    """Refuse to resume with other settings, except those whose change mixes no results."""
    try:
        earlier = dict(json.loads(frozen.read_text())["settings"])
    except OSError:
        raise UsageError(
            f"sweep '{settings.name}': nothing to resume, {frozen} does not exist; leave out "
            "--resume to start a new one"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FileError(f"{frozen}: no readable settings; restore it or use a new --name") from None
    for key, value in settings.model_dump(mode="json").items():
        if key not in settings.MAY_CHANGE and earlier.get(key) != value:
            raise UsageError(
                f"sweep '{settings.name}': '{key}' differs from the earlier run, and only "
                f"{', '.join(sorted(settings.MAY_CHANGE))} may change on --resume; use a new --name"
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One driver at a time: two would write the same study and the same rows."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"sweep '{folder.name}' is running already, in {folder}") from None
        file.write(str(os.getpid()))
        yield
