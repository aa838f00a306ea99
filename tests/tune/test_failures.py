"""Trials that fail in every way: each has its reason everywhere, and the sweep goes on."""

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from mlflow.tracking import MlflowClient

pytestmark = pytest.mark.slow  # the hanging jobs wait for their limit
MODEL = """
import os
import signal
import time

import torch

from dss_ray import load_model


class Fragile:
    name, sample_shape, num_classes = "fragile", (1, 8, 8), 10
    t_min, t_max, fingerprint, features = 0.0, 1.0, "fragile-1", "digits-cnn"
    guided_channels = None

    def __init__(self):
        self.model = load_model("digits-sit")

    def __call__(self, x, t, label):
        velocity = self.model(x, t, label)
        if (label == 10).any():  # under guidance
            return self.under(velocity)
        return velocity

    def under(self, velocity):
        return velocity * float("nan")


class Hanging(Fragile):
    fingerprint = "hanging-1"

    def under(self, velocity):
        time.sleep(1e6)


class Killed(Fragile):
    fingerprint = "killed-1"

    def under(self, velocity):
        os.kill(os.getpid(), signal.SIGKILL)


class Hungry(Fragile):
    fingerprint = "hungry-1"

    def under(self, velocity):
        held = []
        for _ in range(60):
            held.append(torch.ones(2**26))  # 256 MiB
            time.sleep(0.1)
        return velocity + held[0][0]


class Raising(Fragile):
    fingerprint = "raising-1"

    def under(self, velocity):
        raise SystemExit("the licence has expired")


def nan():
    return Fragile()


def hang():
    return Hanging()


def kill():
    return Killed()


def hunger():
    return Hungry()


def leave():
    return Raising()
"""
SPACE = """
models: ["fragile:nan", "fragile:hang", "fragile:kill", "fragile:hunger", "fragile:leave"]
trials: 2
trial_seconds: 40
search: {nfe: 3, guidance: {choice: [1.0, 1.5]}, method: least-squares, grid: uniform, samples: 32}
evaluation: {samples: 64, final_samples: 64, final_seeds: [0, 1]}
baselines: {methods: [euler], grids: [uniform], samples: 8, keep: 1}
"""
REASONS = {
    "fragile:nan": "NaN",
    "fragile:hang": "longer than trial_seconds, which is 40",
    "fragile:kill": "the worker died",
    "fragile:hunger": "memory",
    "fragile:leave": "the licence has expired",
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, sweep_in: Callable[..., Path]) -> Path:
    """The folder of a finished sweep over models that fail under guidance."""
    folder = tmp_path_factory.mktemp("fragile")
    (folder / "fragile.py").write_text(MODEL)
    return sweep_in(folder, SPACE, RAY_memory_usage_threshold=f"{share_in_use() + 0.25:.2f}")


def share_in_use() -> float:
    """The share of this machine's memory that Ray would count as used."""
    lines = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
    size = {name: int(number) for name, number, *_ in lines}
    return 1 - size["MemAvailable:"] / size["MemTotal:"]


def failed(folder: Path) -> dict[str, dict]:
    """The failed trial of each model."""
    lines = (folder / "runs/space/rows.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["searched"]]
    return {row["model"]: row for row in rows if row["status"] == "failed"}


def test_the_sweep_goes_on_and_counts_the_failures(swept: Path) -> None:
    summary = json.loads((swept / "summary.json").read_text())
    assert (summary["trials"], summary["failed"]) == (10, 5)
    assert {row["guidance"] for row in summary["best"]} == {1.0}
    assert {row["model"] for row in summary["best"]} == set(REASONS)


@pytest.mark.parametrize("model", REASONS)
def test_the_reason_is_in_the_rows_the_study_and_mlflow(swept: Path, model: str) -> None:
    row = failed(swept)[model]
    assert REASONS[model] in row["error"]
    study = optuna.load_study(storage=f"sqlite:///{swept}/runs/space/study.db", study_name=model)
    states = [trial.state.name for trial in study.trials]
    assert (states.count("FAIL"), states.count("COMPLETE"), len(states)) == (1, 1, 2)
    assert study.user_attrs[f"error {row['trial']}"] == row["error"]
    client = MlflowClient(f"sqlite:///{swept}/mlflow.db")
    experiment = client.get_experiment_by_name("dss_ray")
    runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FAILED'")
    assert row["error"] in {run.data.tags["error"] for run in runs}
