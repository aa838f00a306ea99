import pytest
import torch

from dss_ray.models.gaussian import GaussianMixture, plane
from dss_ray.models.guidance import guide
from dss_ray.models.meter import Meter
from dss_ray.models.teacher import Teacher
from dss_ray.solver.reference import reference_table, solve_reference


@pytest.fixture(scope="session")
def oracle():
    return plane()


@pytest.fixture(scope="session")
def reference(oracle):
    """The oracle's trajectories on 256 search noises."""
    return Teacher(guide(oracle, 1.0), "search", 0).reference(256)[0]


@pytest.fixture(scope="session")
def exact_reference(oracle):
    """Trajectories of 12 samples in float64."""
    noise = torch.randn(12, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return solve_reference(oracle, noise, torch.arange(12) % 4, reference_table(80, 0, 1))


@pytest.fixture
def meter(oracle):
    return Meter(oracle)


class Memory:
    """A journal in memory that fails after some writes, as a killed process does."""

    def __init__(self, writes=10**9):
        self.writes, self.states = writes, {}

    def read(self, stage):
        return self.states.get(stage)

    def write(self, stage, tensors):
        self.states[stage] = {name: tensor.clone() for name, tensor in tensors.items()}
        self.writes -= 1
        if not self.writes:
            raise KeyboardInterrupt


@pytest.fixture
def memory():
    """Makes journals in memory."""
    return Memory


class CountedModel:
    """A model that counts the samples it is called on, in ``samples``."""

    def __init__(self, model):
        self.model, self.samples = model, 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, x, t, label):
        self.samples += len(x)
        return self.model(x, t, label)


@pytest.fixture
def counted(oracle):
    return CountedModel(oracle)


@pytest.fixture(scope="session")
def random_mixture():
    """Mixtures of two to five random Gaussians in two to six dimensions, by seed and width."""

    def make(seed, width):
        random = torch.Generator().manual_seed(seed)
        count, size = 2 + seed % 4, 2 + seed % 5
        means = 1.5 * torch.randn(count, size, generator=random, dtype=torch.float64)
        factors = 0.3 * torch.randn(count, size, size, generator=random, dtype=torch.float64)
        covariances = factors @ factors.mT + width * torch.eye(size, dtype=torch.float64)
        return GaussianMixture(torch.rand(count, generator=random) + 0.2, means, covariances)

    return make
