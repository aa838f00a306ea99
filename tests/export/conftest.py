import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
import torch

from dss_ray.bundle import Bundle, conventions_of
from dss_ray.models.conventions import ConvertedModel, edm_path, vp_path
from dss_ray.solver.table import SolverTable

SHAPE = (3, 2)
CREATED = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)


def mean_of_two(x, a, s):
    """E[data | a data + s noise = x] where each number of the data is 1.5 or -1.5."""
    return 1.5 * torch.tanh(1.5 * a * x / s**2)


class Flow:
    """The velocity of those data on the linear path."""

    name, sample_shape, num_classes, fingerprint = "two", SHAPE, None, "ab" * 32
    t_min, t_max = 0.0, 1.0

    def __call__(self, x, t, label):
        return (mean_of_two(x, t, 1 - t) - x) / (1 - t)


def vp_scales(u):
    a = torch.exp(-(20 - 0.1) * u**2 / 4 - 0.1 * u / 2)
    return a, (1 - a**2).sqrt()


def edm_scales(sigma):
    return torch.ones_like(sigma), sigma


class Predictor(Flow):
    """What predicts those data, or the noise that they leave, at its own state and own time."""

    def __init__(self, scales, prediction):
        self.scales, self.prediction = scales, prediction

    def __call__(self, x, own, label):
        a, s = (scale[:, None, None] for scale in self.scales(own))
        data = mean_of_two(x, a, s)
        return data if self.prediction == "data" else (x - a * data) / s


MODELS = {
    "flow": Flow(),
    "vp": ConvertedModel(Predictor(vp_scales, "noise"), "noise", vp_path()),
    "edm": ConvertedModel(Predictor(edm_scales, "data"), "data", edm_path()),
}


@pytest.fixture
def models():
    """One model of each convention."""
    return MODELS


@pytest.fixture(params=MODELS)
def model(request):
    """A model of each convention."""
    return MODELS[request.param]


@pytest.fixture(params=["vp", "edm"])
def diffusion(request):
    """A model whose sampling starts at a finite sigma."""
    return MODELS[request.param]


def random_table(model, nfe, seed):
    """A table of the whole space on the model's time range, its query times beside its knots."""
    draw = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=draw, dtype=torch.float64)

    steps, span = 0.1 + uniform(nfe), model.t_max - model.t_min
    knots = model.t_min + span * torch.cat([torch.zeros(1), (steps / steps.sum()).cumsum(0)])
    times = knots[:-1] + 0.9 * knots.diff() * uniform(nfe)
    weights = (uniform(nfe, nfe) - 0.3).tril() / nfe
    return SolverTable(times, 0.5 + uniform(nfe), weights, knots.clamp(max=1), free=True)


def make_bundle(table, model=MODELS["flow"], **change):
    fields = {
        "name": "whole-4",
        "table": table,
        "guidance": 1.0,
        "model": model.name,
        "model_fingerprint": model.fingerprint,
        "conventions": conventions_of(model, table),
        "search": None,
        "metrics": {},
        "versions": {"dss_ray": "0.1.0"},
        "created": CREATED,
    }
    return Bundle(**(fields | change))


@pytest.fixture
def bundles():
    """Makes bundles from tables."""
    return make_bundle


@pytest.fixture
def tables():
    """Makes random tables for a model."""
    return random_table


def noises(count=5, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, *SHAPE, generator=draw, dtype=torch.float64)


@pytest.fixture
def noise():
    """Standard normal numbers for a few samples."""
    return noises()


def imported(path: Path) -> ModuleType:
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def load():
    """Imports a file."""
    return imported
