import ast
import json
import subprocess
import sys

import pytest
import torch

from dss_ray.bundle import Measured, content_hash, conventions_of
from dss_ray.export.formats import export_standalone
from dss_ray.models.gaussian import plane
from dss_ray.models.guidance import guide_steps
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample

ALONE = """
import importlib.util, json, sys
sys.modules["dss_ray"] = None  # an import of the package fails
import torch

def data(x, a, s):
    return 1.5 * torch.tanh(1.5 * a * x / s**2)

def velocity(x, t, guidance):
    return (data(x, t, 1 - t) - x) / (1 - t)

def denoiser(x, a, s, guidance):
    return data(x, a, s)

def noise_predictor(x, a, s, guidance):
    return (x - a * data(x, a, s)) / s

def drawn(kind, path, numbers):
    spec = importlib.util.spec_from_file_location(kind, path)
    solver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(solver)
    x = torch.tensor(numbers, dtype=torch.float64)
    if kind == "flow":
        return solver.sample(velocity, x)
    if kind == "vp":
        return solver.sample_path(noise_predictor, x, "noise", solver.vp)
    return solver.sample_path(denoiser, 80 * x, "data", solver.edm)

tasks = json.load(sys.stdin)
print(json.dumps({kind: drawn(kind, *task).tolist() for kind, task in tasks.items()}))
assert not [name for name in sys.modules if name.startswith("dss_ray.")]
"""


def test_a_fresh_process_without_the_package_draws_the_same_samples(
    models, tables, bundles, noise, tmp_path
):
    tasks, expected = {}, {}
    for kind, model in models.items():
        table = tables(model, 5, seed=1)
        path = export_standalone(bundles(table, model), tmp_path / kind)
        tasks[kind] = str(path), noise.tolist()
        own = conventions_of(model, table).model
        expected[kind] = own.data_scale * sample(model, table, own.noise_scale * noise)
    command, text = [sys.executable, "-I", "-c", ALONE], json.dumps(tasks)
    ended = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    for kind, numbers in json.loads(ended.stdout).items():
        drawn = torch.tensor(numbers, dtype=torch.float64)
        assert (drawn - expected[kind]).abs().max() < 1e-6, kind


@pytest.mark.parametrize("seed", range(8))
def test_any_table_makes_the_steps_of_the_packages_own_loop(
    seed, model, tables, bundles, noise, tmp_path, load
):
    table = tables(model, 1 + seed, seed)
    solver = load(export_standalone(bundles(table, model), tmp_path))
    drawn = solver.sample(lambda x, t, _: model(x, noise.new_tensor(t), None), noise)
    assert (drawn - sample(model, table, noise)).abs().max() < 1e-12


def test_a_guidance_scale_per_step_reaches_the_model(bundles, tmp_path, load):
    oracle, scales = plane(), (1.5, 2.0, 0.0)
    table = classical_table("ab2", make_grid("uniform", 3))
    solver = load(export_standalone(bundles(table, oracle, guidance=scales), tmp_path))
    noise, label, null = torch.randn(4, 2), torch.arange(4), torch.full((4,), 4)

    def velocity(x, t, guidance):
        v, v_null = (oracle(x, torch.tensor(t), one) for one in (label, null))
        return v_null + guidance * (v - v_null)

    expected = sample(guide_steps(oracle, scales, 3), table, noise, label)
    assert torch.allclose(solver.sample(velocity, noise), expected, atol=1e-5)


def test_a_prediction_of_another_kind_is_refused(tables, bundles, noise, tmp_path, load, model):
    solver = load(export_standalone(bundles(tables(model, 2, 0)), tmp_path))
    with pytest.raises(ValueError, match='"noise" or "data", got \'v\''):
        solver.sample_path(None, noise, "v", solver.vp)


def test_the_docstring_says_what_the_solver_is(tables, bundles, tmp_path, model):
    figures = {"rmse": Measured.of([0.25, 0.75])}
    bundle = bundles(tables(model, 4, 0), model, guidance=1.25, metrics=figures)
    said = ast.get_docstring(ast.parse(export_standalone(bundle, tmp_path).read_text()))
    assert said.startswith("whole-4: a solver of 4 steps for two.\n\n")
    known = "4 network queries", "1.25", f"weights {model.fingerprint[:12]}", content_hash(bundle)
    known = *known, "rmse 0.5 ± 0.354", "2026-11-01 by dss_ray 0.1.0"
    assert [part for part in known if part not in said] == []
