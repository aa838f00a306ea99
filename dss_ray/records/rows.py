"""One line per result: what a sweep found out, as JSON lines that survive a killed process."""

import math
import os
from pathlib import Path
from typing import Any, Literal, Self, SupportsFloat

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from dss_ray.errors import FileError

Param = str | bool | int | float | None
MEASURED = (
    "fid",
    "fid_spread",
    "selection_fid",
    "rmse",
    "evaluations",
    "seconds",
    "reference_seconds",
    "reference_evaluations",
    "sampling_evaluations",
    "network_seconds",
    "worker_seconds",
)


class Row(BaseModel):
    """What one solver did on one model at one step count and guidance.

    A measured figure that is NaN or infinite is stored as None, and the row becomes a failed one
    whose ``error`` names the figure: a diverged trial can never look like a good one.

    Attributes:
        key: hash of everything that determines the result.
        trial: number of the trial in its study; None for baselines.
        status: "done" or "failed"; a failed row carries its ``error``.
        nfe: network queries per sample at guidance 1, the table's N.
        kind: "searched", "classical" or "published".
        searched: True exactly for kind "searched"; derived where left out.
        solver: name of the solver, for pictures and tables.
        method: the search method; None for baselines.
        grid: the (starting) grid of times.
        fid: Frechet distance; of a final row the mean over fresh seeds, else on selection seeds.
        fid_spread: standard deviation over the seeds (ddof 1).
        fid_values: one distance per seed.
        selection_fid: of a final row, the distance that selected it.
        fid_by_samples: the selection distance at each number of samples that it was taken on.
        stopped: True where it was hopeless at its step count before all samples were drawn.
        violated: the constraints of the sweep that it breaks; such a row is never the best.
        features: the extractor in which the distance was taken.
        samples: images per distance.
        seeds: of ``fid_values``.
        fingerprint: of the weights of ``model``; "" where it is not on record.
        reference: digest of what the distance is measured from; likewise.
        rmse: per element of the state, to the converged reference on noises no search saw.
        evaluations: network calls per sample, summed over the samples of the search, without the
            reference's, which are ``reference_evaluations``.
        seconds: wall time of the search without its reference, which is ``reference_seconds``.
        sampling_evaluations: network calls per sample, summed over the samples it was judged by.
        network_seconds: CPU seconds spent inside network evaluations.
        worker_seconds: wall seconds that its job held a worker, the search included.
        bundle: the solver's file, relative to the run's folder.
        params: the swept values.
        final: True where the finalists were evaluated again on fresh seeds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key: str
    trial: int | None = None
    status: Literal["done", "failed"]
    model: str
    nfe: int
    kind: Literal["searched", "classical", "published"]
    searched: bool
    solver: str
    guidance: float
    method: str | None = None
    grid: str | None = None
    fid: float | None = None
    fid_spread: float | None = None
    fid_values: list[float] = []
    selection_fid: float | None = None
    fid_by_samples: dict[int, float] = {}
    stopped: bool = False
    violated: list[str] = []
    features: str = ""
    samples: int = 0
    seeds: list[int] = []
    fingerprint: str = ""
    reference: str = ""
    rmse: float | None = None
    evaluations: int | None = None
    seconds: float | None = None
    reference_seconds: float | None = None
    reference_evaluations: int | None = None
    sampling_evaluations: int | None = None
    network_seconds: float | None = None
    worker_seconds: float | None = None
    bundle: str | None = None
    params: dict[str, Param] = {}
    error: str | None = None
    final: bool = False

    @model_validator(mode="before")
    @classmethod
    def derive(cls, data: Any) -> Any:
        """Fill in ``searched``, and turn figures that are not finite into a failure."""
        if not isinstance(data, dict):
            return data
        data = {"searched": data.get("kind") == "searched"} | data
        lost = [name for name in MEASURED if infinite(data.get(name))]
        values = data.get("fid_values")
        if isinstance(values, list) and any(map(infinite, values)):
            lost.append("fid_values")
        if lost:
            data |= {name: [] if name == "fid_values" else None for name in lost}
            reason = data.get("error") or f"diverged: {', '.join(lost)} not finite"
            data |= {"status": "failed", "error": reason}
        return data

    @model_validator(mode="after")
    def check(self) -> Self:
        """A failure has a reason, and ``searched`` says what ``kind`` says."""
        if self.status == "failed" and not self.error:
            raise ValueError("a failed row needs an error that says why")
        if self.searched != (self.kind == "searched"):
            raise ValueError(f"searched is {self.searched} but kind is '{self.kind}'")
        return self

    @property
    def identity(self) -> tuple[str, str, int, float]:
        """Rows of one identity replace each other: (key, model, nfe, guidance)."""
        return self.key, self.model, self.nfe, self.guidance


def distance_name(features: str) -> str:
    """What figures call the distance: plain FID is Inception's alone."""
    return "FID" if features.startswith("inception") else f"FID[{features}]"


def infinite(value: object) -> bool:
    """Whether ``value`` is a number that is NaN or infinite."""
    return isinstance(value, SupportsFloat) and not math.isfinite(value)


def append_row(path: Path, row: Row) -> None:
    """Add ``row`` to the file in one write that has reached the disk on return.

    What an interrupted write left at the end of the file is dropped first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        drop_torn_line(file)
        file.write(row.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def drop_torn_line(file: Any) -> None:
    """Leave the binary ``file`` empty or ending in a newline; it is open for append and read."""
    file.seek(0)
    content = file.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        file.truncate(whole)


def read_rows(path: Path) -> list[Row]:
    """The rows of the file, in order of first appearance, the last of each identity winning.

    A half-written last line is ignored; a file not yet begun in an existing folder has no rows.

    Raises:
        FileError: if the folder is missing or any other line is no row.
    """
    if not path.exists():
        if path.parent.is_dir():
            return []
        raise FileError(f"{path}: no such folder; expected the folder of a sweep")
    rows: dict[tuple[str, str, int, float], Row] = {}
    lines = path.read_bytes().split(b"\n")  # the last item is empty or a torn line
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = Row.model_validate_json(line)
        except ValidationError as error:
            reason = error.errors()[0]
            field = ".".join(map(str, reason["loc"]))
            place = f"'{field}': " if field else ""
            raise FileError(
                f"{path}, line {number}: expected one result as JSON, but {place}{reason['msg']}; "
                "delete the line to go on without it"
            ) from None
        rows[row.identity] = row
    return list(rows.values())
