from pathlib import Path

import pytest

from dss_ray.api import load_solver
from dss_ray.bundle import SweepProvenance, load_bundle, save_bundle


@pytest.fixture
def solver():
    """A bundle, and the folder of a pipeline of a flow."""
    diffusers = pytest.importorskip("diffusers")
    diffusers.FlowMatchEulerDiscreteScheduler().save_pretrained("pipeline/scheduler")
    save_bundle(load_solver("ab2", 4), Path("ab2.json"))


EXPORT = ["export", "ab2.json", "--format", "diffusers"]


def test_a_bundle_becomes_a_scheduler_that_diffusers_loads(run, solver):
    found = run(*EXPORT, "--pipeline", "pipeline", "-o", "ab2", "--json").document
    assert found == {"path": "ab2", "format": "diffusers"}
    from dss_ray.export.diffusers_scheduler import TableScheduler

    loaded = TableScheduler.from_pretrained("ab2").table.to_json()
    assert loaded == load_bundle(Path("ab2.json")).table.to_json()


def test_people_are_shown_how_to_sample_with_it(run, solver):
    shown = run(*EXPORT, "--pipeline=pipeline", "--self-contained", "-o", "ab2").out
    assert shown.startswith("ab2: ab2, 4 steps for pipelines of 'flow_prediction'\n")
    assert "pipeline(..., num_inference_steps=4, guidance_scale=1)" in shown
    assert Path("ab2/table_scheduler.py").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--pipeline FOLDER"),
        (["--pipeline", "nowhere"], "nowhere/scheduler/scheduler_config.json"),
        (["--pipeline", "pipeline", "-o", "pipeline/scheduler"], "exists already"),
        (["--pipeline", "pipeline", "-o", "ab2.json"], "ab2.json"),
    ],
)
def test_wrong_places_end_with_2_and_are_named(run, solver, options, said):
    ended = run(*EXPORT, *([] if "-o" in options else ["-o", "new"]), *options)
    assert ended.code == 2 and said in ended.sentence


def test_options_of_a_pipeline_belong_to_its_format(run, solver):
    ended = run("export", "ab2.json", "-o", "new", "--pipeline", "pipeline")
    assert ended.code == 2 and "--format diffusers" in ended.sentence


def test_a_sweep_knows_the_pipeline_that_it_searched_on(run, solver):
    origin = {"name": "night", "id": None, "trial": 1, "key": "k", "mlflow_run": None}
    model = "diffusers-sd3?folder=pipeline&prompts=some"
    sweep = SweepProvenance(model=model, **origin)
    save_bundle(load_solver("ab2", 4).model_copy(update={"sweep": sweep}), Path("swept.json"))
    assert run("export", "swept.json", "--format=diffusers", "-o", "new").code == 0
    assert Path("new/scheduler_config.json").is_file()
