import pytest
import torch

from dss_ray.api import DOMAIN, evaluate, load_solver
from dss_ray.evaluation.trajectory import errors_along
from dss_ray.models.gaussian import plane
from dss_ray.models.guidance import guide
from dss_ray.models.teacher import BLOCK, Teacher
from dss_ray.solver.reference import Knots, Reference


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path))


def bend(x, t, label):
    """dx/dt = t, so x(t) = x_0 + t^2 / 2."""
    return torch.full_like(x, float(t))


def exact(count):
    times = torch.linspace(0, 1, 3, dtype=torch.float64)
    noise = torch.randn(count, 2)
    states = torch.stack([noise + float(t) ** 2 / 2 for t in times])
    velocities = torch.stack([torch.full_like(noise, float(t)) for t in times])
    cpu = torch.device("cpu")
    return Reference(times, Knots((states,), cpu), Knots((velocities,), cpu), None)


def test_the_errors_are_those_of_the_exact_solution_at_each_knot():
    table = load_solver("euler", 4).table
    found = errors_along(bend, table, exact(3))
    steps = torch.arange(5)
    euler = steps * (steps - 1) / 2 / 16  # the sum of t_j h over the steps before
    assert found == pytest.approx((steps**2 / 32 - euler).tolist(), abs=1e-6)


def test_the_last_error_is_the_rmse_of_an_evaluation_on_the_same_noises():
    model, bundle = plane(), load_solver("ab2", 5)
    reference = Teacher(guide(model, 1.0), DOMAIN, 3).reference(BLOCK)[0]
    measured = evaluate(bundle, model, samples=BLOCK, seeds=(3,), metrics=("rmse",))
    errors = errors_along(guide(model, 1.0), bundle.table, reference)
    assert errors[0] == 0 and len(errors) == 6
    assert errors[-1] == pytest.approx(measured.metrics["rmse"].mean, rel=1e-4)
