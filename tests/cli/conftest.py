import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dss_ray.api import load_solver
from dss_ray.bundle import save_bundle
from dss_ray.cli.app import main
from dss_ray.records.rows import Row, append_row


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one line of the error, whatever stages were reported before it."""
        lines = [line for line in self.err.splitlines() if line.startswith("dss-ray: ")]
        assert len(lines) == 1 and self.err.endswith(lines[0] + "\n"), self.err
        assert "Traceback" not in self.err and self.out == ""
        return lines[0].removeprefix("dss-ray: ")


Run = Callable[..., Ended]


@pytest.fixture
def run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """Runs the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = signal.getsignal(signal.SIGTERM)

    def command(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dss-ray", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return Ended(int(end.value.code or 0), *capsys.readouterr())

    yield command
    signal.signal(signal.SIGTERM, before)


def make_result(
    nfe: int, fid: float, kind: str = "searched", model: str = "digits-sit", **more: Any
) -> Row:
    """A finished row with its bundle in runs/night."""
    key = f"{model}-{kind}-{nfe}-{fid}"
    bundle = load_solver("ab2", nfe).model_copy(update={"name": key, "model": model})
    save_bundle(bundle, Path("runs/night") / f"{key}.json")
    figures = {"fid": fid, "rmse": 0.1, "features": "digits-cnn", "samples": 100}
    return Row(
        key=key,
        status="done",
        model=model,
        nfe=nfe,
        kind=kind,
        searched=kind == "searched",
        solver=key,
        guidance=1.0,
        bundle=f"{key}.json",
        **(figures | more),
    )


@pytest.fixture
def result() -> Callable[..., Row]:
    """Makes a finished row with its bundle in runs/night."""
    return make_result


@pytest.fixture
def night() -> Callable[..., None]:
    """Adds rows to the sweep "night" of the current folder."""

    def add(*rows: Row) -> None:
        for row in rows:
            append_row(Path("runs/night/rows.jsonl"), row)

    return add
