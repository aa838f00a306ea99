"""The meter counts network evaluations and the processor's time, not the clock's."""

import time

import torch

from dss_ray.models.gaussian import plane
from dss_ray.models.guidance import guide
from dss_ray.models.meter import Meter

TIME = torch.tensor(0.5)


def spin(seconds):
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


def test_every_sample_of_every_call_is_counted_and_the_velocity_unchanged():
    oracle = plane()
    meter, x, label = Meter(oracle), torch.randn(7, 2), torch.arange(7) % 4
    assert torch.equal(meter(x, TIME, label), oracle(x, TIME, label))
    meter(x[:2], TIME, label[:2])
    assert meter.evaluations == 9


def test_guidance_counts_as_many_evaluations_as_the_network_makes():
    seen, oracle = [], plane()

    class Counted:
        def __getattr__(self, name):
            return getattr(oracle, name)

        def __call__(self, x, t, label):
            seen.append(len(x))
            return oracle(x, t, label)

    for scale, evaluations in ((1.0, 7), (2.0, 14)):
        seen.clear()
        model = guide(Counted(), scale)
        meter = Meter(model, model.evaluations_per_query)
        meter(torch.randn(7, 2), TIME, torch.arange(7) % 4)
        assert meter.evaluations == sum(seen) == evaluations


def test_computing_is_counted_and_waiting_is_not():
    before = Meter.process_seconds
    meter = Meter(lambda x, *_: spin(0.05) or x)
    meter(torch.zeros(1), TIME, None)
    with meter.timed():
        time.sleep(0.2)
    assert 0.05 <= meter.seconds < 0.15
    assert abs(Meter.process_seconds - before - meter.seconds) < 1e-9
