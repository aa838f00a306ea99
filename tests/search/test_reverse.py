"""Reverse mode: counted, and unbiased where residuals are too many for a pass each."""

import pytest
import torch

from dss_ray.models.meter import Meter
from dss_ray.search.linearize import forward_jacobian, products
from dss_ray.search.objective import Objective, make_objective, parse_loss, trajectory_residual
from dss_ray.search.reverse import PROBES, mixture, reverse_jacobian
from dss_ray.search.space import make_space
from dss_ray.search.tangents import directions
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid

SEEDS = 400


@pytest.fixture(scope="module")
def parts(oracle, exact_reference):
    space = make_space("velocity", classical_table("ab2", make_grid("uniform", 3)))
    table = space.table(space.coordinates)
    return Meter(oracle), table, directions(space, space.coordinates), exact_reference


def test_every_backward_pass_counts_two_evaluations_of_each_query(oracle, parts):
    velocity = Meter(oracle)
    reverse_jacobian(velocity, *parts[1:], make_objective("end"), generator=torch.Generator())
    assert velocity.evaluations == 12 * 3 + 2 * 2 * 12 * 3  # two residuals a sample


def many(states, batch, knots):
    """The distances to the trajectory, and their sines at many frequencies: 6 x 20 residuals."""
    off = trajectory_residual(states, batch, knots)
    return torch.cat([(off * scale).sin() for scale in torch.linspace(0.2, 2, 20).double()], 1)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("loss", ["square", "huber:0.1"])
def test_mixed_residuals_have_the_derivatives_of_forward_mode(parts, loss):
    objective = Objective(many, parse_loss(loss))
    residual, jacobian = forward_jacobian(*parts, objective, at_once=50)
    mixing = mixture(residual, seeded(1))
    mixed, slopes = reverse_jacobian(*parts, objective, generator=seeded(1))
    assert mixed.shape == (12, PROBES)
    torch.testing.assert_close(mixed, torch.einsum("br,bre->be", residual, mixing))
    torch.testing.assert_close(slopes, torch.einsum("kbr,bre->kbe", jacobian, mixing))


def test_mixtures_are_unbiased(parts):
    residual, jacobian = forward_jacobian(*parts, Objective(many), at_once=50)

    def model(residual, jacobian):
        matrix, slope = products(residual, jacobian)
        return torch.cat([matrix.flatten(), slope]) / residual.numel()

    found = []
    for seed in range(SEEDS):
        mixing = mixture(residual, seeded(seed))
        mixed = torch.einsum("br,bre->be", residual, mixing)
        found.append(model(mixed, torch.einsum("kbr,bre->kbe", jacobian, mixing)))
    mean, spread = torch.stack(found).mean(0), torch.stack(found).std(0)
    exact = model(residual, jacobian)
    assert ((mean - exact).abs() < 4 * spread / SEEDS**0.5 + 1e-12).all()  # the largest of thirty
    assert (spread < 0.2 * exact.abs().max()).all()


def test_every_sample_has_mixtures_of_its_own():
    signs = mixture(torch.zeros(3, 200), torch.Generator().manual_seed(0)) * 200**0.5
    assert torch.equal(signs.abs(), torch.ones(3, 200, PROBES))
    assert 80 < int((signs[0, :, 0] == signs[1, :, 0]).sum()) < 120
