"""What a trial asks for against what the cluster has."""

import pytest
import ray
import torch

from dss_ray.config.sweep import Resources
from dss_ray.errors import UsageError
from dss_ray.tune.cluster import check_fit, connect, room


def test_trials_fit_as_often_as_the_scarcest_resource_of_each_node_allows() -> None:
    assert room([{"CPU": 8.0, "GPU": 1.0}], Resources(cpus=1, gpus=0.25)) == 4
    assert room([{"CPU": 3.0, "GPU": 4.0}], Resources(cpus=1, gpus=0.25)) == 3
    assert room([{"CPU": 5.0}, {"CPU": 3.0}, {"CPU": 1.0, "GPU": 8.0}], Resources(cpus=2)) == 3


@pytest.mark.parametrize(
    ("nodes", "resources", "most"),
    [
        ([{"CPU": 8.0}], Resources(gpus=0.5), "8 CPU and 0 GPU"),
        ([{"CPU": 2.0}, {"CPU": 3.0}], Resources(cpus=4), "3 CPU and 0 GPU"),
        ([], Resources(), "0 CPU and 0 GPU"),
    ],
)
def test_a_request_that_no_node_can_meet_is_refused(nodes, resources, most) -> None:
    with pytest.raises(UsageError, match=f"no node of the cluster has that: the most are {most}"):
        check_fit(nodes, resources)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpus_are_refused_where_there_are_none_before_ray_starts() -> None:
    with pytest.raises(UsageError, match=r"asks for 0\.5 of a GPU.*resources\.gpus"):
        connect(None, Resources(gpus=0.5))
    assert not ray.is_initialized()
