"""What the shipped models of digits sample without guidance, and that their flows are smooth."""

import pytest
import torch
from sklearn.svm import SVC
from torch.nn.attention import SDPBackend, sdpa_kernel

from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.statistics import Statistics
from dss_ray.models import digits
from dss_ray.models.features import load_extractor
from dss_ray.models.labelled import decode
from dss_ray.models.noise import start_states
from dss_ray.models.zoo import load_model
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample

SMOOTH = "digits-sit", "digits-dit"
MODELS = *SMOOTH, "digits-flowdcn"  # whose bilinear samples have kinks, and jumps at the border
COUNT, CHUNK = 1000, 250
TRAINING, HELD_OUT = digits.images("training"), digits.images("held-out")


@pytest.fixture(scope="module", params=MODELS)
def samples(request):
    """1,000 samples of 40 evaluations, rounded to 256 greys: images in [0, 1] and labels."""
    model = load_model(request.param)
    table = classical_table("ipndm", make_grid("cosine", 40, model.t_min, model.t_max))
    noise, label = start_states(model, model.t_min, "evaluation", 1234, range(COUNT))
    with torch.no_grad():
        ends = [
            sample(model, table, x, y)
            for x, y in zip(noise.split(CHUNK), label.split(CHUNK), strict=True)
        ]
    return (model.decode(torch.cat(ends)) * 255).round() / 255, label


def to_nearest(images, others):
    """Distance of each image to the nearest other one."""
    return torch.cdist(images.flatten(1), others.flatten(1)).amin(1)


def test_a_foreign_classifier_names_97_percent_of_the_samples_as_their_label(samples):
    images, label = samples
    real = digits.images()
    classifier = SVC(C=10).fit(decode(real.images).flatten(1), real.labels)
    assert (classifier.predict(images.flatten(1)) == label.numpy()).mean() >= 0.97


def test_samples_are_as_far_from_the_training_digits_as_held_out_ones(
    samples, record_testsuite_property
):
    training = decode(TRAINING.images)
    ours = to_nearest(samples[0], training).median()
    real = to_nearest(decode(HELD_OUT.images), training).median()
    record_testsuite_property("median distance to the nearest training digit", float(ours))
    record_testsuite_property("that of held-out digits", float(real))
    assert 0.9 < ours / real < 1.2


def test_samples_are_as_near_to_held_out_digits_as_training_digits_are(
    samples, record_testsuite_property
):
    extractor = load_extractor("digits-cnn")
    ours, training, held_out = (
        Statistics.of(extractor(images))
        for images in (samples[0], decode(TRAINING.images), decode(HELD_OUT.images))
    )
    distance = frechet_distance(ours, held_out)
    record_testsuite_property("FID[digits-cnn] to held-out digits", distance)
    assert distance < 2 * frechet_distance(training, held_out)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_the_slope_in_time_at_an_instant_is_that_over_a_hundredth(name, at):
    model, time = load_model(name), torch.tensor(at, dtype=torch.float64)
    data, label = (part[:32] for part in TRAINING)
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(0))
    x = (at * data + (1 - at) * noise).double()
    with sdpa_kernel(SDPBackend.MATH):
        slope = torch.func.jvp(lambda t: model(x, t, label), (time,), (torch.ones_like(time),))[1]
    secant = (model(x, time + 0.005, label) - model(x, time - 0.005, label)) / 0.01
    assert (slope - secant).norm() < 0.05 * secant.norm()
