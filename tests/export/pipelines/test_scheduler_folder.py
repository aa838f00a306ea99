"""Folders of schedulers: what lies in them, and what their makers are told."""

import ast
import sys
from types import SimpleNamespace

import diffusers
import pytest
import torch

from dss_ray.bundle import conventions_of
from dss_ray.errors import FileError, UsageError
from dss_ray.export.scheduler_folder import export_diffusers, module_text, usage
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid


@pytest.fixture
def flow(tmp_path):
    """The folder of a flow's scheduler."""
    diffusers.FlowMatchEulerDiscreteScheduler().save_pretrained(tmp_path / "flow")
    return str(tmp_path / "flow")


@pytest.fixture
def euler(bundle):
    """A bundle of two Euler steps."""
    return bundle(classical_table("euler", make_grid("uniform", 2)), 1.5)


def test_a_folder_holds_a_config_and_a_module_if_that_is_asked_for(euler, flow, tmp_path):
    plain = export_diffusers(euler, tmp_path / "new" / "plain", pipeline=flow)
    assert [path.name for path in plain.iterdir()] == ["scheduler_config.json"]
    whole = export_diffusers(euler, tmp_path / "whole", pipeline=flow, self_contained=True)
    assert {path.name for path in whole.iterdir()} == {
        "scheduler_config.json",
        "table_scheduler.py",
    }
    assert (whole / "table_scheduler.py").read_text() == module_text()


def test_a_scheduler_is_never_written_over(euler, flow, tmp_path):
    before = (tmp_path / "flow" / "scheduler_config.json").read_text()
    with pytest.raises(UsageError, match=r"scheduler_config\.json exists already"):
        export_diffusers(euler, tmp_path / "flow", pipeline=flow)
    assert (tmp_path / "flow" / "scheduler_config.json").read_text() == before


def test_what_is_refused_leaves_nothing(bundle, found, tmp_path):
    diffusers.DDIMScheduler().save_pretrained(tmp_path / "ddim")
    with pytest.raises(UsageError, match="'found' asks for times from 0 to"):
        export_diffusers(bundle(found(0, 1)), tmp_path / "new", pipeline=str(tmp_path / "ddim"))
    with pytest.raises(FileError, match="found none"):
        export_diffusers(bundle(found(0, 1)), tmp_path / "new", pipeline=str(tmp_path))
    assert not (tmp_path / "new").exists()


def test_the_module_needs_no_dss_ray_and_hides_none_of_its_own_names():
    tree = ast.parse(module_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert all(node.level == 0 and "dss_ray" not in node.module for node in nodes)
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("self_contained", [False, True])
def test_the_lines_that_people_are_shown_sample(euler, flow, tmp_path, self_contained, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "table_scheduler", raising=False)
    folder = tmp_path / 'a "quoted" name'
    export_diffusers(euler, folder, pipeline=flow, self_contained=self_contained)
    lines = [line.strip() for line in usage(euler, folder).splitlines() if line.startswith("    ")]
    made = {}

    class Pipeline(SimpleNamespace):
        def __call__(self, prompt, num_inference_steps, guidance_scale):
            self.scheduler.set_timesteps(num_inference_steps)
            made["guidance"] = guidance_scale

    names = {"pipeline": Pipeline()}
    exec("\n".join(lines).replace("...", "None"), names)  # noqa: S102
    assert made == {"guidance": 1.5}
    assert torch.equal(names["pipeline"].scheduler.timesteps, torch.tensor([1000.0, 500.0]))
    assert ("dss_ray" not in usage(euler, folder)) == self_contained
    assert "Flux takes its guidance as true_cfg_scale" in usage(euler, folder)


@pytest.fixture
def told(bundle, flow, tmp_path):
    """What is said of a table for a flow."""

    def export(table, guidance=1.0, **change):
        solver = bundle(table, guidance).model_copy(update=change)
        return usage(solver, export_diffusers(solver, tmp_path / "new", pipeline=flow))

    return export


def test_guidance_that_no_argument_gives_is_told(told, found):
    text = told(found(0, 1, nfe=2), (1.0, 2.5))
    assert "changes from step to step (1, 2.5)" in text
    assert "num_inference_steps=2)" in text


def test_a_diffusions_table_in_a_flow_is_told(told, found):
    assert "it runs from t = 0.006 to 0.99, as on a diffusion" in told(found(0.006, 0.99))


def test_a_flows_table_in_a_flow_needs_no_caution(told, found):
    assert told(found(0, 1)).count("\n") == 4


def test_that_dits_pipeline_is_not_the_official_sampler_is_told(told, found):
    table = found(0, 1)
    official = conventions_of(GuidedInPart(), table)
    assert "official_times=false" in told(table, conventions=official)


class GuidedInPart:
    """What conventions need of a model that guides three channels."""

    t_min, t_max, guided_channels = 0.0, 1.0, 3
