"""Lion against its published algorithm."""

import numpy as np
import pytest
import torch

from dss_ray.search.lion import Lion


def algorithm_2(theta, gradients, rate, beta_1=0.9, beta_2=0.99):
    """Algorithm 2 of arXiv 2302.06675 in numpy, with weight decay zero."""
    momentum = np.zeros_like(theta)
    for gradient in gradients:
        update = beta_1 * momentum + (1 - beta_1) * gradient
        theta = theta - rate * np.sign(update)
        momentum = beta_2 * momentum + (1 - beta_2) * gradient
    return theta


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_lion_takes_the_steps_of_its_paper(rate):
    random = np.random.default_rng(0)
    theta, gradients = random.normal(size=(5, 5)), random.normal(size=(200, 5, 5))
    parameter = torch.from_numpy(theta.copy()).requires_grad_()
    optimizer = Lion([parameter], lr=rate)
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    expected = algorithm_2(theta, gradients, rate)
    np.testing.assert_allclose(parameter.detach().numpy(), expected, atol=1e-12)


def test_parameters_without_gradient_stay():
    still, held = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    held.grad = torch.zeros(3)
    Lion([still, held], lr=0.1).step()
    assert torch.equal(still, torch.ones(3))
    assert torch.equal(held, torch.ones(3))
