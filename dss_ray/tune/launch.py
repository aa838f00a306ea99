"""Run a sweep on a cluster from outside of it: check, submit, follow, fetch."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from dss_ray.config.sweep import Resources
from dss_ray.errors import StoreError, UsageError
from dss_ray.records.lineage import TRACKED
from dss_ray.records.runs import ROWS_FILE, RUNS
from dss_ray.tune.doctor import Check
from dss_ray.tune.folder import MANIFEST, read_manifest
from dss_ray.tune.jobs import FOLDER, SWEEP, Jobs
from dss_ray.tune.probe import this_machine
from dss_ray.tune.storage import public_variables

SPACE, FILES = "space.yaml", "files"  # in what is sent along
LARGEST = 100_000_000  # bytes of a file that is sent along
ROOM = 400_000_000  # bytes of all of them; Ray takes 512 MiB
KEPT = (MANIFEST, ROWS_FILE, TRACKED, "trials")  # what is fetched
PACKED = re.compile(r"^packed:([A-Za-z0-9+/=]+)$", re.MULTILINE)  # how it stands in what a job says
SAME = ("code", "ray", "python")  # the doctor's lines that this machine should agree with


@dataclass(frozen=True)
class Parcel:
    """What a sweep needs of this machine.

    Args:
        name: of the sweep.
        text: of its space file.
        assignments: settings that replace the file's, its name among them.
        resume: whether it goes on.
        modules: files and folders of the models' own code.
        files: that it reads, as the space names them.
        folder: on the cluster, where runs/NAME will lie; all nodes see it.
        resources: of a trial.
    """

    name: str
    text: str
    assignments: Sequence[str]
    resume: bool
    modules: Sequence[Path]
    files: Sequence[str]
    folder: str
    resources: Resources

    def __post_init__(self) -> None:
        """Refuse a folder that would lie in a place that Ray deletes."""
        if not self.folder.startswith(("/", "~/")):
            raise UsageError(f"--folder: expected /PATH or ~/PATH, got '{self.folder}'")

    @contextmanager
    def packed(self) -> Iterator[Path]:
        """A folder with all of it; files that are large or absolute have to be there already.

        Raises:
            UsageError: if it is more than a job of Ray's carries.
        """
        with tempfile.TemporaryDirectory(prefix="dss-ray-") as place:
            folder = Path(place)
            (folder / SPACE).write_text(self.text)
            (folder / FILES).mkdir()
            for module in self.modules:
                copy(module, folder / module.name)
            for name in self.files:
                path = Path(name)
                if sendable(path):
                    copy(path, folder / FILES / path)
            size = sum(path.stat().st_size for path in folder.rglob("*"))
            if size > ROOM:
                raise UsageError(
                    f"files and code of '{self.name}' come to {size / 1e6:,.0f} MB, a job carries "
                    f"{ROOM / 1e6:,.0f}; put files where all nodes see them and name absolute paths"
                )
            yield folder

    @property
    def there(self) -> str:
        """The shell command that goes to ``folder``."""
        home = self.folder.startswith("~/")
        path = f'"$HOME"/{quote(self.folder[2:])}' if home else quote(self.folder)
        return f"mkdir -p {path} && cd {path}"

    def command(self, verb: str, *more: str) -> str:
        """The shell command for ``verb`` on the cluster, in ``folder``."""
        words = ["dss-ray", verb, f'"$PARCEL/{SPACE}"', "--address", "auto"]
        for assignment in self.assignments:
            words += ["--set", quote(assignment)]
        words += more
        copied = f'cp -r "$PARCEL/{FILES}/." .'
        return f'PARCEL="$PWD"; {self.there} && {copied} && exec {" ".join(words)}'

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the driver and the workers: the stores, and references solved but once."""
        return {"DSS_RAY_CACHE": f"{self.folder}/cache"} | public_variables()


def sendable(path: Path) -> bool:
    """Whether a file is small, and below this folder, so that it has a place in the other."""
    below = not path.is_absolute() and ".." not in path.parts
    return below and path.is_file() and path.stat().st_size <= LARGEST


def copy(source: Path, target: Path) -> None:
    """A file or a folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    else:
        shutil.copyfile(source, target)


def preflight(jobs: Jobs, parcel: Parcel, nodes: int = 1) -> list[Check]:
    """What the doctor says on the cluster's head, and whether this machine has the same code.

    It waits until the cluster has so many ``nodes``.
    """
    with parcel.packed() as folder:
        command = parcel.command("doctor", "--json", "--nodes", str(nodes))
        code, said = jobs.run(command, folder, parcel.environment)
    found = documents(said)
    if not found:
        missing = "dss-ray: not found" in said or code == 127
        last = said.strip().rpartition("\n")[2]
        remedy = "install it on all nodes, see clusters/README.md" if missing else "see above"
        what = "no dss-ray on the head's PATH" if missing else f"the doctor failed there: {last}"
        return [Check("head", what, False, "dss-ray", remedy)]
    lines, own = [Check(**line) for line in found[-1]], this_machine(".", "", [])
    mine = {**own.versions, "code": own.code}
    others = [
        Check(
            f"{line.what} here",
            f"{line.found} on the cluster, {mine[line.what]} here",
            False,
            "the same",
            "install the same here",
        )
        for line in lines
        if line.what in SAME and line.good and line.found != str(mine[line.what])
    ]
    return lines + others


def documents(said: str) -> list[Any]:
    """The JSON documents in what a job said, each of which begins a line."""
    found, decoder = list[Any](), json.JSONDecoder()
    for begin in re.finditer(r"^[\[{]$", said, re.MULTILINE):
        with suppress(ValueError):
            found.append(decoder.raw_decode(said, begin.start())[0])
    return found


def start(jobs: Jobs, parcel: Parcel) -> str:
    """Submit the sweep; the job's id.

    Raises:
        UsageError: if it runs there already.
    """
    running = jobs.latest(parcel.name)
    if running and not jobs.ended(str(running.submission_id)):
        raise UsageError(
            f"sweep '{parcel.name}' runs there already, as job {running.submission_id}; --attach "
            "follows it"
        )
    command = parcel.command("sweep", *(["--resume"] if parcel.resume else []))
    with parcel.packed() as folder:
        told = {SWEEP: parcel.name, FOLDER: parcel.folder}
        return jobs.submit(command, folder, parcel.environment, told)


def check_local(name: str, jobs: Jobs) -> None:
    """Refuse a name whose ./runs/NAME holds a sweep of this machine, which would be lost."""
    if (RUNS / name / "lock").exists():
        raise UsageError(
            f"{RUNS / name} holds a sweep of this machine; choose another --name for the one on "
            f"{jobs.address}"
        )


def fetch(jobs: Jobs, parcel: Parcel) -> Path:
    """Bring the sweep's record and bundles into ./runs/NAME.

    Raises:
        StoreError: if there are none.
    """
    command = (
        f"{parcel.there} && cd runs/{quote(parcel.name)} && sleep 1 && "  # Ray has its say first
        f'printf "packed:%s\\n" "$(tar cz $(ls -d {" ".join(KEPT)}) | base64 -w 0)"'
    )
    with tempfile.TemporaryDirectory() as empty:
        _, said = jobs.run(command, Path(empty), {})
    found = PACKED.search(said)
    if found is None:
        last = said.strip().rpartition("\n")[2][-200:]
        raise StoreError(f"sweep '{parcel.name}': nothing to fetch ({last})")
    target = RUNS / parcel.name
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(found[1])), mode="r:gz") as archive:
            archive.extractall(target, filter="data")
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise StoreError(
            f"sweep '{parcel.name}': what came is broken ({error}); --attach fetches it again"
        ) from None
    read_manifest(target / MANIFEST)
    return target
