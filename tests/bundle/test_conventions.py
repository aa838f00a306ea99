import pytest
import torch

from dss_ray.api import named_bundle
from dss_ray.bundle import conventions_of, fitted_to
from dss_ray.models.conventions import ConvertedModel, edm_path, vp_path
from dss_ray.models.gaussian import plane
from dss_ray.models.network import NetworkModel
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid


def converted(path, prediction):
    network = NetworkModel(torch.nn.Linear(2, 2), "net", (2,), None)
    return ConvertedModel(network, prediction, path)


def table_on(model):
    return classical_table("ab2", make_grid("uniform", 4, model.t_min, model.t_max))


def test_a_flow_starts_at_plain_noise_and_ends_at_data():
    model = plane()
    found = conventions_of(model, table_on(model)).model
    assert (found.prediction, found.path) == ("velocity", "linear")
    assert (found.t_min, found.t_max, found.noise_scale, found.data_scale) == (0, 1, 1, 1)


def test_other_paths_record_what_their_ends_are_scaled_with():
    vp, edm = converted(vp_path(), "noise"), converted(edm_path(), "data")
    found = [conventions_of(model, table_on(model)).model for model in (vp, edm)]
    assert [one.prediction for one in found] == ["noise", "data"]
    assert [one.path.split()[0] for one in found] == ["vp", "edm"]
    assert found[0].noise_scale == pytest.approx(0.993428, abs=5e-7)
    assert found[1].noise_scale == pytest.approx(80 / 81)
    assert found[1].data_scale == pytest.approx(1.002)


def test_a_solver_made_to_fit_another_model_has_its_conventions():
    flow, edm = plane(), converted(edm_path(), "data")
    fitted = fitted_to(edm, named_bundle("ab2", table_on(flow), 1.0))
    assert (fitted.table.knots[0], fitted.table.knots[-1]) == (edm.t_min, edm.t_max)
    assert fitted.conventions == conventions_of(edm, fitted.table)
