"""A sweep that is killed in every way and resumed: nothing is lost, repeated or left running."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest
from mlflow.tracking import MlflowClient

pytestmark = pytest.mark.slow
SPACE = """
models: ["slow:Slow"]
sampler: grid
trials: 1000
search:
  nfe: {choice: [3, 4, 5]}
  guidance: {choice: [1.0, 1.2]}
  method: least-squares
  grid: {choice: [uniform, cosine, "power:0.8:1", "power:1:1.2", "power:1:1.4"]}
  samples: {choice: [32, 24]}
evaluation: {samples: 64, final_samples: 64, final_seeds: [0, 1]}
baselines: {methods: [ab2], grids: [uniform], samples: 8, keep: 1}
"""
POINTS = 60
KILLS = ["worker"] * 8 + ["driver"] * 9 + ["raylet"] * 4 + ["disk"] * 2 + ["store"] * 2
PATIENCE = 600  # seconds for whatever should happen soon
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


def without_privileges() -> None:
    """Let the bits of files bind root too, in the program that this process becomes."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def wait_for(condition: Any) -> None:
    """Until ``condition()`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Torturer:
    """Runs a sweep on a cluster of two nodes and kills whatever it is told to."""

    def __init__(self, folder: Path, chance: Random) -> None:
        from ray.cluster_utils import Cluster

        self.folder, self.chance = folder, chance
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        self.node = self.cluster.add_node(num_cpus=1)
        self.driver: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the sweep or go on with it, unless it runs."""
        if self.driver is not None and self.driver.poll() is None:
            return
        command = [str(Path(sys.executable).with_name("dss-ray")), "sweep", "space.yaml", "--json"]
        command += ["--address", self.cluster.address]
        if (self.folder / "runs/space/manifest.json").exists():
            command.append("--resume")
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        with (self.folder.parent / "out").open("w") as out, self.errors.open("w") as err:
            self.driver = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=out, stderr=err,
                preexec_fn=without_privileges, start_new_session=True,
            )  # fmt: skip

    @property
    def errors(self) -> Path:
        """What the driver said."""
        return self.folder.parent / "err"

    def wait(self, code: int, said: str = "") -> None:
        """Until the driver ends, with ``code`` and one sentence."""
        assert self.driver
        assert self.driver.wait(PATIENCE) == code, self.errors.read_text()
        assert said in self.errors.read_text()
        assert "Traceback" not in self.errors.read_text()

    def written(self) -> int:
        """Lines of the record."""
        path = self.folder / "runs/space/rows.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def strike(self, kind: str) -> None:
        """Let the sweep get on by a row, then kill or refuse something."""
        self.start()
        before = self.written()
        wait_for(lambda: self.written() > before)
        time.sleep(self.chance.uniform(0, 2))
        getattr(self, f"kill_{kind}")()

    def kill_worker(self) -> None:
        """A trial's process."""
        own = f"DSS_RAY_CACHE={os.environ['DSS_RAY_CACHE']}".encode()
        working = list[int]()
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it may have ended meanwhile
                named = (place / "cmdline").read_bytes().startswith(b"ray::ResourceTrainable")
                if named and own in (place / "environ").read_bytes().split(b"\0"):
                    working.append(int(place.name))
        if working:
            os.kill(self.chance.choice(working), signal.SIGKILL)

    def kill_driver(self) -> None:
        """The command itself."""
        assert self.driver
        self.driver.kill()
        self.driver.wait()

    def kill_raylet(self) -> None:
        """The second node, in whose place comes another."""
        self.cluster.remove_node(self.node, allow_graceful=False)
        self.node = self.cluster.add_node(num_cpus=1)

    def kill_disk(self) -> None:
        """Fill the disk, and make room again when the sweep has ended."""
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(1 << 12)):
                pass
        self.wait(1, "--resume goes on")
        ballast.unlink()

    def kill_store(self) -> None:
        """Forbid to write the records, and allow it again when the sweep has ended."""
        folder = self.folder / "runs/space"
        places = [folder, *(path for path in folder.iterdir() if path.is_file())]
        modes = [place.stat().st_mode for place in places]
        for place in places:
            place.chmod(0o500 if place.is_dir() else 0o400)
        self.wait(1, "--resume goes on")
        for place, mode in zip(places, modes, strict=True):
            place.chmod(mode)

    def finish(self) -> None:
        """Let the sweep go on to its end."""
        self.start()
        self.wait(0)


@pytest.fixture(scope="module")
def folders(
    slow_model: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Path]]:
    """The folder of an undisturbed sweep and of a tortured one, on a small disk of its own."""
    base, shared = tmp_path_factory.mktemp("torture"), os.environ["DSS_RAY_CACHE"]
    os.environ["DSS_RAY_CACHE"] = str(base / "cache")  # its workers are known by it
    whole, tortured = base / "whole/here", base / "tortured/here"
    for folder in (whole, tortured):
        folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "torture", str(tortured)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        for folder in (whole, tortured):
            slow_model(folder)
            (folder / "space.yaml").write_text(SPACE)
            torturer = Torturer(folder, Random(0))
            try:
                if folder == tortured:
                    kills = torturer.chance.sample(KILLS, len(KILLS))
                    for kind in kills:
                        torturer.strike(kind)
                torturer.finish()
            finally:
                if torturer.driver:
                    torturer.driver.kill()
                torturer.cluster.shutdown()
        yield whole, tortured
    finally:
        os.environ["DSS_RAY_CACHE"] = shared
        subprocess.run(["umount", "-l", str(tortured)], check=True)


def test_the_rows_are_those_of_an_undisturbed_sweep(
    folders: tuple[Path, Path], last_rows: Any
) -> None:
    whole, tortured = map(last_rows, folders)
    assert tortured == whole
    assert Counter(row["kind"] for row in whole.values())["searched"] == POINTS


def test_each_point_is_complete_or_failed_once(folders: tuple[Path, Path], last_rows: Any) -> None:
    storage = f"sqlite:///{folders[1]}/runs/space/study.db"
    trials = optuna.load_study(storage=storage, study_name=None).trials
    points = Counter(json.dumps(trial.params, sort_keys=True) for trial in trials)
    assert len(points) == POINTS
    assert set(points.values()) == {1}
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "FAIL"}
    found = {row["trial"]: row for row in last_rows(folders[1]).values() if row["searched"]}
    for trial in trials:
        row = found[trial.number]
        assert (trial.state.name == "FAIL") == (row["status"] == "failed")
        if trial.state.name == "COMPLETE":
            assert trial.values == [row["nfe"], row["selection_fid"] or row["fid"]]


def test_mlflow_agrees_figure_by_figure(folders: tuple[Path, Path], last_rows: Any) -> None:
    client = MlflowClient(f"sqlite:///{folders[1]}/mlflow.db")
    experiment = client.get_experiment_by_name("dss_ray")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} <= {"FINISHED", "FAILED"}
    trials = [run for run in runs if "dss.key" in run.data.tags]
    assert len(trials) == len({run.data.tags["dss.key"] for run in trials})
    found = last_rows(folders[1])
    assert {run.data.tags["dss.key"] for run in trials} == set(found)
    for run in trials:
        row = found[run.data.tags["dss.key"]]
        assert (run.info.status == "FAILED") == (row["status"] == "failed")
        if row["status"] == "done":
            selected = row["selection_fid"] if row["final"] else row["fid"]
            assert run.data.metrics["fid_digits_cnn"] == selected
            assert run.data.metrics["rmse"] == row["rmse"]
            assert run.data.metrics.get("evaluations") == row["evaluations"]
