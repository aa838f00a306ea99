import ast
import json
import subprocess
import sys

import pytest
import torch

from dss_ray.bundle import Measured, content_hash
from dss_ray.export.formats import export_standalone
from dss_ray.models.gaussian import plane
from dss_ray.models.guidance import guide_steps
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample

ALONE = """
import json, sys
sys.modules["dss_ray"] = None  # an import of the package fails
import importlib.util
import torch
spec = importlib.util.spec_from_file_location("solver", sys.argv[1])
solver = importlib.util.module_from_spec(spec)
spec.loader.exec_module(solver)

def data(x, a, s):
    return 1.5 * torch.tanh(1.5 * a * x / s**2)

def velocity(x, t, guidance):
    return (data(x, t, 1 - t) - x) / (1 - t)

def denoiser(x, a, s, guidance):
    return data(x, a, s)

def noise_predictor(x, a, s, guidance):
    return (x - a * data(x, a, s)) / s

x = torch.tensor(json.load(sys.stdin), dtype=torch.float64)
if sys.argv[2] == "flow":
    end = solver.sample(velocity, x)
elif sys.argv[2] == "vp":
    end = solver.sample_path(noise_predictor, x, "noise", solver.vp)
else:
    end = solver.sample_path(denoiser, x, "data", solver.edm)
assert not [name for name in sys.modules if name.startswith("dss_ray.")]
print(json.dumps(end.tolist()))
"""


def scales(model, table):
    """What the frame's start and end states are of the model's own noise and data."""
    ends = float(table.knots[0]), float(table.knots[-1])
    if not hasattr(model, "path"):
        return 1.0, 1.0
    return model.noise_scale(ends[0]), model.data_scale(ends[1])


def test_a_fresh_process_without_the_package_draws_the_same_samples(
    model, tables, bundles, noise, tmp_path
):
    table = tables(model, 5, seed=1)
    path = export_standalone(bundles(table, model), tmp_path)
    start, end = scales(model, table)
    kind = model.path.name.split()[0] if hasattr(model, "path") else "flow"
    own = noise * (80 if kind == "edm" else 1)
    command = [sys.executable, "-I", "-c", ALONE, str(path), kind]
    text = json.dumps(own.tolist())
    ended = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    expected = end * sample(model, table, start * noise)
    drawn = torch.tensor(json.loads(ended.stdout), dtype=torch.float64)
    assert (drawn - expected).abs().max() < 1e-6


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
