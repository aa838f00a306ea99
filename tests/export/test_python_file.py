"""What holds of every exported Python file."""

import ast
import subprocess
import sys

import pytest

from dss_ray.bundle import Measured, SearchProvenance
from dss_ray.export.formats import FORMATS
from dss_ray.export.templates import comfyui, k_diffusion, standalone

PYTHON = sorted(set(FORMATS) & {"standalone", "k-diffusion", "comfyui"})
HOSTILE = '"""\nraise SystemExit(1)\n\'\'\'\\" SUMMARY FACTS DISPLAY\u202e\n TIMES = 3\n'


@pytest.fixture(params=PYTHON)
def write(request, tmp_path):
    """Writes a bundle in one of the formats."""
    return lambda bundle, folder="out": FORMATS[request.param](bundle, tmp_path / folder)


def test_the_same_bundle_gives_the_same_bytes(write, bundles, tables, model):
    bundle = bundles(tables(model, 6, 0), model)
    one, other = write(bundle, "one"), write(bundle, "other")
    assert one.name == other.name and one.read_bytes() == other.read_bytes()


def test_the_file_holds_the_very_numbers_of_the_table(write, bundles, tables, model, load):
    table = tables(model, 11, 0)
    module = load(write(bundles(table, model)))
    for name in ("times", "start", "knots"):
        assert list(getattr(module, name.upper())) == getattr(table, name).tolist()
    rows = [list(row) + [0.0] * (11 - len(row)) for row in module.WEIGHTS]
    assert rows == table.weights.tolist()


def test_texts_of_a_bundle_never_become_code(write, bundles, tables, model, load):
    harmless = bundles(tables(model, 3, 0), model)
    texts = dict.fromkeys(("name", "model", "model_fingerprint"), HOSTILE)
    costs = dict.fromkeys(("evaluations", "seconds", "reference_evaluations"), 1)
    search = SearchProvenance(
        **dict.fromkeys(("method", "grid", "start"), HOSTILE),
        **costs, reference_seconds=1, seed=0, samples=1, settings={}, history={},
    )  # fmt: skip
    texts |= {"search": search, "metrics": {HOSTILE: Measured.of([1.0])}}
    texts |= {"versions": {"dss_ray": HOSTILE}}
    hostile = write(harmless.model_copy(update=texts))

    def statements(path):
        return [type(node).__name__ for node in ast.parse(path.read_text()).body]

    assert statements(hostile) == statements(write(harmless))
    assert load(hostile).NAME == HOSTILE
    assert "\u202e" not in hostile.read_text()


def test_the_file_is_clean_python(write, bundles, tables, model):
    for nfe in (1, 12):
        path = write(bundles(tables(model, nfe, 0), model))
        assert path.stem.isidentifier()
        rules = ["--select", "E,F,W,I,UP,B,RUF100", "--line-length", "100", "--isolated"]
        command = [sys.executable, "-m", "ruff", "check", *rules, str(path)]
        subprocess.run(command, check=True, capture_output=True)
        assert "noqa" not in path.read_text() and "dss_ray." not in path.read_text()


def test_templates_are_solvers_themselves(noise):
    """One Euler step along a constant velocity is exact."""
    assert (standalone.sample(lambda x, t, scale: scale * x, noise) == 2 * noise).all()
    sigmas = k_diffusion.flow_sigmas()
    drawn = k_diffusion.sample_dss(lambda x, _: 3 * x, noise, sigmas)
    assert (drawn - 3 * noise).abs().max() < 1e-12
    assert comfyui.sample_dss is k_diffusion.sample_dss
