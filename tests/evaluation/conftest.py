import pytest
import torch

from dss_ray.models.features import Extractor, digits_cnn


class ShiftModel:
    """Each label's velocity is a constant, so one Euler step is exact: data = noise + shift."""

    name, fingerprint = "shift", "0" * 64
    sample_shape, num_classes = (1, 8, 8), 4
    t_min, t_max = 0.0, 1.0

    def __init__(self):
        self.calls = 0

    def shift(self, label):
        return (label.float() / 10)[:, None, None, None].expand(-1, *self.sample_shape)

    def __call__(self, x, t, label):
        assert 0 <= t <= 1
        assert not torch.is_grad_enabled()
        self.calls += len(x)
        return self.shift(label)


@pytest.fixture
def model():
    return ShiftModel()


def random_extractor(seed):
    torch.manual_seed(seed)
    return Extractor("digits-cnn", digits_cnn())


@pytest.fixture(scope="session")
def extractor():
    return random_extractor(seed=0)


@pytest.fixture(scope="session")
def other_extractor():
    return random_extractor(seed=1)
