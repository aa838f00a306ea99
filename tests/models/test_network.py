"""How a torch network becomes a model."""

import pytest
import torch
from torch import nn

from dss_ray.models.network import AT_ONCE, NetworkModel


class Recorder(nn.Module):
    """x t + label, and how many samples came at once."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = nn.Parameter(torch.ones(())), []

    def forward(self, x, t, label):
        self.seen.append(len(x))
        return x * t.view(-1, 1, 1) + label.view(-1, 1, 1)


@pytest.mark.parametrize("label", [None, torch.tensor([3, 1, 2, 0, 5])])
def test_large_samples_go_through_a_few_at_a_time_and_come_back_in_order(label):
    side = int((AT_ONCE / 2) ** 0.5)
    model = NetworkModel(Recorder(), "recorder", (side, side), 10)
    x, t = torch.randn(5, side, side), torch.linspace(0, 1, 5)
    found = model(x, t, label)
    assert model.network.seen == [2, 2, 1]
    expected = torch.full((5,), 10) if label is None else label
    assert torch.equal(found, x * t.view(-1, 1, 1) + expected.view(-1, 1, 1))


def test_a_sample_larger_than_a_call_may_be_goes_alone():
    model = NetworkModel(Recorder(), "recorder", (1, 2 * AT_ONCE), 10)
    model(torch.zeros(2, 1, 2 * AT_ONCE), torch.tensor(0.5), None)
    assert model.network.seen == [1, 1]


def test_derivatives_pass_through_the_parts():
    side = int((AT_ONCE / 2) ** 0.5)
    model = NetworkModel(Recorder(), "recorder", (side, side), 10)
    x, time = torch.ones(3, side, side), torch.tensor(0.5)
    slope = torch.func.jvp(lambda t: model(x, t, None), (time,), (torch.ones(()),))[1]
    assert torch.equal(slope, x)
