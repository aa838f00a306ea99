"""Pipelines saved with an exported scheduler, in a process that knows nothing of this one."""

import importlib
import os
import subprocess
import sys

import torch

from dss_ray.export.diffusers_scheduler import TableScheduler

FAMILIES = ("dit", "sd3", "flux", "pixart", "sana", "sd", "sd-v")
FRESH = """
import sys
from pathlib import Path
import torch
from diffusers import DiffusionPipeline

def check(folder, original, **options):
    missing, call, images = torch.load(original / "call.pt", weights_only=True)
    pipeline = DiffusionPipeline.from_pretrained(folder, **dict.fromkeys(missing), **options)
    pipeline.set_progress_bar_config(disable=True)
    if "class_labels" in call:
        call["generator"] = torch.Generator().manual_seed(1)
    off = (pipeline(**call).images - images).abs().max()
    assert off < 1e-6, (folder, off)
    return pipeline

sys.modules["dss_ray"] = None  # so that importing it fails
for folder in map(Path, sys.argv[1].split()):
    loaded = check(folder, folder, trust_remote_code=True)
    loaded.save_pretrained(folder / "again")
    check(folder / "again", folder, trust_remote_code=True)
del sys.modules["dss_ray"]
import dss_ray.export.diffusers_scheduler
for folder in map(Path, sys.argv[2].split()):
    check(folder, folder)
"""


def keep(tiny, maker, folder, **options):
    """Save a pipeline, the parts that it lacks, how to call it and what it then makes."""
    tiny.pipeline.scheduler = maker.from_pretrained(tiny.export(tiny.table(), **options))
    tiny.pipeline.save_pretrained(folder)
    missing = [name for name, part in tiny.pipeline.components.items() if part is None]
    seed = {"generator": torch.Generator().manual_seed(1)} if tiny.family == "dit" else {}
    images = tiny.pipeline(**tiny.call, **seed).images
    torch.save((missing, tiny.call, images), folder / "call.pt")
    return str(folder)


def test_a_fresh_process_draws_the_same_without_dss_ray_and_with_it(case, tmp_path, monkeypatch):
    plain = [keep(case(one), TableScheduler, tmp_path / f"with-{one}") for one in FAMILIES]
    dit = case("dit")
    monkeypatch.syspath_prepend(dit.export(dit.table(), self_contained=True))
    carried = importlib.import_module("table_scheduler").TableScheduler
    alone = [
        keep(case(one), carried, tmp_path / f"alone-{one}", self_contained=True)
        for one in ("dit", "sd3")
    ]
    command = [sys.executable, "-c", FRESH, " ".join(alone), " ".join(plain)]
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
