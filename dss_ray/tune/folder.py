"""The folder ``runs/NAME`` of a sweep or a transfer: claimed once, resumed alike, locked."""

import fcntl
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dss_ray import __version__
from dss_ray.bundle import software_versions
from dss_ray.config.sweep import SweepSettings
from dss_ray.config.transfer import TransferSettings
from dss_ray.errors import FileError, UsageError
from dss_ray.records.runs import RUNS
from dss_ray.tune.storage import OWN, VARIABLE, public_name

MANIFEST, PACKAGE = "manifest.json", "dss_ray"
LONGEST = 100  # characters of a value in a message
Settings = SweepSettings | TransferSettings


def place(settings: Settings, resume: bool) -> Path:
    """The folder of a new sweep, or of an earlier one whose settings are the same; nothing is made.

    Raises:
        UsageError: if a new sweep's name exists, or an old one's does not, or settings differ.
    """
    folder = RUNS / settings.name
    if resume:
        check_same(folder / MANIFEST, settings)
    elif any((folder / name).exists() for name in (MANIFEST, "rows.jsonl", OWN)):
        other = (
            changes(read_manifest(folder / MANIFEST), settings)
            if (folder / MANIFEST).exists()
            else []
        )
        remedy = (
            f"it has other settings ({'; '.join(other)}), so choose another --name"
            if other
            else "add --resume to go on with it, or choose another --name"
        )
        raise UsageError(f"sweep '{settings.name}' exists in {folder}: {remedy}")
    return folder


def freeze(folder: Path, settings: Settings) -> None:
    """Write the settings of a new sweep down, with an identity and the software's versions."""
    manifest = {
        "id": uuid.uuid4().hex,
        "settings": settings.model_dump(mode="json"),
        "versions": software_versions(),
        "storage": public_name(folder),
    }
    draft = folder / f"{MANIFEST}.tmp"
    draft.write_text(json.dumps(manifest, indent=1) + "\n")
    draft.replace(folder / MANIFEST)


def identity(folder: Path) -> str:
    """What ``freeze`` named the sweep by, unlike any other of its name."""
    return str(read_manifest(folder / MANIFEST)["id"])


def check_same(frozen: Path, settings: Settings) -> None:
    """Refuse to resume with other settings, except those whose change mixes no results."""
    if not frozen.exists():
        raise UsageError(
            f"sweep '{settings.name}': nothing to resume, {frozen} does not exist; leave out "
            "--resume to start a new one"
        )
    manifest = read_manifest(frozen)
    found = changes(manifest, settings)
    version = manifest.get("versions", {}).get(PACKAGE, __version__)
    if version != __version__:
        raise UsageError(
            f"sweep '{settings.name}' was begun by {PACKAGE} {version}, whose results this one, "
            f"{__version__}, does not mix with its own; install {version} or use a new --name"
        )
    storage = manifest.get("storage", public_name(frozen.parent))
    if isinstance(settings, SweepSettings) and storage != public_name(frozen.parent):
        raise UsageError(
            f"sweep '{settings.name}' has its studies in {storage}, not in "
            f"{public_name(frozen.parent)}; set {VARIABLE} as it was when the sweep began"
        )
    if found:
        raise UsageError(
            f"sweep '{settings.name}' has other settings: {'; '.join(found)}; only "
            f"{', '.join(sorted(settings.MAY_CHANGE))} may change on --resume; use a new --name"
        )


def read_manifest(frozen: Path) -> dict[str, Any]:
    """What ``freeze`` wrote, or FileError where that holds no settings."""
    try:
        manifest: dict[str, Any] = json.loads(frozen.read_text())
        return manifest | {"settings": dict(manifest["settings"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise FileError(f"{frozen}: no readable settings; restore it or use a new --name") from None


def changes(manifest: dict[str, Any], settings: Settings) -> list[str]:
    """What settings differ from those in ``manifest``, those aside that may.

    Settings that an earlier version did not have count as their defaults.
    """
    earlier = manifest["settings"]
    with suppress(ValidationError):
        earlier = type(settings).model_validate(earlier).model_dump(mode="json")
    before, now = (
        {key: value for key, value in one.items() if key not in settings.MAY_CHANGE}
        for one in (earlier, settings.model_dump(mode="json"))
    )
    return list(differences(before, now))


def differences(before: object, now: object, place: str = "") -> Iterator[str]:
    """Where two nested settings differ, as "a.b was 1 and is 2"."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            way = f"{place}.{key}" if place else str(key)
            yield from differences(before.get(key, "absent"), now.get(key, "absent"), way)
    elif before != now:
        yield f"{place} was {short(before)} and is {short(now)}"


def short(value: object) -> str:
    """A value, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One driver at a time: two would write the same study and the same rows."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"sweep '{folder.name}' is running already, in {folder}") from None
        yield


def is_running(folder: Path) -> bool:
    """Whether a driver on this machine, or on one that shares its locks, works on the sweep."""
    with suppress(FileNotFoundError), (folder / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
