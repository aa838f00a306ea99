"""What a trial asks for against what the cluster has."""

import pytest
import ray
import torch

from dss_ray.config.sweep import Resources
from dss_ray.errors import UsageError
from dss_ray.tune.cluster import connect, fitting


def test_trials_fit_as_often_as_the_scarcest_resource_allows() -> None:
    assert fitting({"CPU": 8.0, "GPU": 1.0}, Resources(cpus=1, gpus=0.25)) == 4
    assert fitting({"CPU": 3.0, "GPU": 4.0}, Resources(cpus=1, gpus=0.25)) == 3
    assert fitting({"CPU": 5.0}, Resources(cpus=2)) == 2


def test_a_request_that_never_fits_is_refused_before_it_waits() -> None:
    with pytest.raises(UsageError, match=r"the whole cluster has .*GPU"):
        fitting({"CPU": 8.0}, Resources(cpus=1, gpus=0.5))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpus_are_refused_where_there_are_none_before_ray_starts() -> None:
    with pytest.raises(UsageError, match=r"asks for 0\.5 of a GPU.*resources\.gpus"):
        connect(None, Resources(gpus=0.5))
    assert not ray.is_initialized()
