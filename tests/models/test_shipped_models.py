"""What the shipped models sample without guidance, and that their flows are smooth."""

from functools import cache

import pytest
import torch
from sklearn.svm import SVC
from torch.nn.attention import SDPBackend, sdpa_kernel

from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.statistics import Statistics
from dss_ray.models import digits, mnist
from dss_ray.models.features import load_extractor
from dss_ray.models.labelled import decode
from dss_ray.models.noise import start_states
from dss_ray.models.zoo import load_model
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample

SMOOTH = "digits-sit", "digits-dit"
DIGITS = *SMOOTH, "digits-flowdcn"  # whose bilinear samples have kinks, and jumps at the border
MNIST = "mnist-sit-s", "mnist-sit-b", "mnist-latent-sit"
CHUNK = 250


class Samples:
    """Samples of a model, rounded to 256 greys: images in [0, 1] and labels.

    Of digits 1,000 of 40 evaluations; of MNIST, which takes ten times as long, 250 of 20.
    """

    def __init__(self, name):
        self.name, self.of_digits = name, name in DIGITS
        self.data = digits if self.of_digits else mnist
        count, steps = (1000, 40) if self.of_digits else (250, 20)
        model = load_model(name)
        table = classical_table("ipndm", make_grid("cosine", steps, model.t_min, model.t_max))
        noise, self.label = start_states(model, model.t_min, "evaluation", 1234, range(count))
        parts = zip(noise.split(CHUNK), self.label.split(CHUNK), strict=True)
        with torch.no_grad():
            ends = torch.cat([sample(model, table, *part) for part in parts])
            self.images = (model.decode(ends) * 255).round() / 255

    def real(self, part):
        """The images of a part of the data."""
        return decode(self.data.images(part).images)


LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in MNIST[1:]]


@pytest.fixture(scope="module", params=[*DIGITS, MNIST[0], *LARGE])
def samples(request):
    return Samples(request.param)


@cache
def foreign_classifier(data):
    """One that knows all of the data and shares nothing with the package."""
    real = data.images()
    return SVC(C=10).fit(decode(real.images).flatten(1), real.labels)


def to_nearest(images, others):
    """Distance of each image to the nearest other one."""
    return torch.cdist(images.flatten(1), others.flatten(1)).amin(1)


def test_a_foreign_classifier_names_most_samples_as_their_label(samples, record_testsuite_property):
    """It names 97 % of held-out digits itself, of MNIST's 95 %."""
    named = foreign_classifier(samples.data).predict(samples.images.flatten(1))
    share = (named == samples.label.numpy()).mean()
    record_testsuite_property(f"{samples.name}: share named as the label", float(share))
    assert share >= (0.97 if samples.of_digits else 0.87)


def test_samples_are_as_far_from_the_training_digits_as_held_out_ones(
    samples, record_testsuite_property
):
    training = samples.real("training")
    ours = to_nearest(samples.images, training).median()
    real = to_nearest(samples.real("held-out"), training).median()
    record_testsuite_property(f"{samples.name}: to the nearest training digit", float(ours))
    record_testsuite_property(f"{samples.name}: from held-out digits", float(real))
    assert 0.9 < ours / real < 1.2


def test_samples_are_as_near_to_held_out_digits_as_training_digits_are(
    samples, record_testsuite_property
):
    """As many training digits as samples: the distance grows where they are few."""
    extractor = load_extractor("digits-cnn" if samples.of_digits else "mnist-cnn")
    training, chance = samples.real("training"), torch.Generator().manual_seed(0)
    some = torch.randperm(len(training), generator=chance)[: len(samples.images)]
    ours, training, held_out = (
        Statistics.of(extractor(images))
        for images in (samples.images, training[some], samples.real("held-out"))
    )
    distance = frechet_distance(ours, held_out)
    record_testsuite_property(f"{samples.name}: Frechet distance to held-out digits", distance)
    assert distance < 2 * frechet_distance(training, held_out)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_the_slope_in_time_at_an_instant_is_that_over_a_hundredth(name, at):
    model, time = load_model(name), torch.tensor(at, dtype=torch.float64)
    data, label = (part[:32] for part in digits.images("training"))
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(0))
    x = (at * data + (1 - at) * noise).double()
    with sdpa_kernel(SDPBackend.MATH):
        slope = torch.func.jvp(lambda t: model(x, t, label), (time,), (torch.ones_like(time),))[1]
    secant = (model(x, time + 0.005, label) - model(x, time - 0.005, label)) / 0.01
    assert (slope - secant).norm() < 0.05 * secant.norm()
