"""Paths in a space are relative to the folder that the sweep is started in, for workers too."""

import json

import pytest

MODEL = """
from pathlib import Path

from dss_ray import load_model


def build(path):
    assert Path(path).read_text() == "weights"
    return load_model("digits-sit")
"""
SPACE = """
models: ["own:build"]
model_options: {"own:build": {path: data/weights.txt}}
sampler: grid
search: {nfe: {choice: [3, 4]}, method: least-squares, grid: uniform, samples: 16}
evaluation: {samples: 64, final_samples: 64, final_seeds: [0, 1]}
baselines: {methods: [ab2], grids: [uniform], samples: 8, keep: 1}
"""


@pytest.mark.slow
def test_workers_find_files_by_relative_paths(tmp_path, sweep_in):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/weights.txt").write_text("weights")
    (tmp_path / "own.py").write_text(MODEL)
    summary = json.loads((sweep_in(tmp_path, SPACE) / "summary.json").read_text())
    assert (summary["trials"], summary["failed"]) == (2, 0)
    assert all(len(row["fid_values"]) == 2 for row in summary["best"])
