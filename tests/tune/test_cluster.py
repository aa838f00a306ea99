"""What a trial asks for against what the cluster has."""

import pytest

from dss_ray.config.sweep import Resources
from dss_ray.errors import UsageError
from dss_ray.tune.cluster import fitting


def test_trials_fit_as_often_as_the_scarcest_resource_allows() -> None:
    assert fitting({"CPU": 8.0, "GPU": 1.0}, Resources(cpus=1, gpus=0.25)) == 4
    assert fitting({"CPU": 3.0, "GPU": 4.0}, Resources(cpus=1, gpus=0.25)) == 3
    assert fitting({"CPU": 5.0}, Resources(cpus=2)) == 2


def test_a_request_that_never_fits_is_refused_before_it_waits() -> None:
    with pytest.raises(UsageError, match=r"the whole cluster has .*GPU"):
        fitting({"CPU": 8.0}, Resources(cpus=1, gpus=0.5))
