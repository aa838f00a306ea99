"""What a trial asks for against what the cluster has."""

import pytest
import ray
import torch

from dss_ray.config.sweep import Resources
from dss_ray.errors import UsageError
from dss_ray.tune import cluster as module
from dss_ray.tune.cluster import Crowd, check_fit, connect, room
from dss_ray.tune.searcher import node_lost


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


@pytest.fixture
def nodes(monkeypatch):
    """The nodes that the cluster is said to have."""
    found = [{"CPU": 2.0}, {"CPU": 3.0}]
    monkeypatch.setattr(module, "nodes_now", lambda: found)
    monkeypatch.setattr(module, "LOOK_EVERY", 0.0)
    return found


def test_as_many_trials_run_as_nodes_hold_however_they_change(nodes) -> None:
    crowd = Crowd(Resources(), None, joined=False)
    assert crowd() == 5
    nodes.append({"CPU": 4.0})
    assert crowd() == 9
    del nodes[1:]
    assert crowd() == 2
    assert Crowd(Resources(), 1, joined=False)() == 1
    assert Crowd(Resources(), 8, joined=False)() == 2


def test_on_a_cluster_that_may_grow_some_trials_ask_for_room(nodes) -> None:
    assert Crowd(Resources(), None, joined=True)() == 6
    many = Crowd(Resources(), 8, joined=True)
    assert many() == 8


def test_the_time_of_the_workers_is_that_of_the_room_there_was(nodes, monkeypatch) -> None:
    clock = iter([0.0, 0.0, 0.0, 10.0, 10.0, 10.0, 12.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    crowd = Crowd(Resources(), 4, joined=True)
    del nodes[1:]
    crowd()
    assert crowd.seconds() == 4 * 10 + 2 * 2


def test_nodes_are_looked_up_once_a_second(nodes, monkeypatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 1.0)
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    crowd = Crowd(Resources(), None, joined=False)
    del nodes[1:]
    now[0] = 0.9
    assert crowd() == 5
    now[0] = 1.0
    assert crowd() == 2


@pytest.mark.parametrize(
    ("reason", "lost"),
    [
        ("ActorDiedError: The actor died because its node has died. Node Id: 3a02", True),
        (
            "ActorUnavailableError: The actor fdeb is unavailable: The actor is temporarily "
            "unavailable: RpcError: RPC error: Socket closed rpc_code: 14.",
            True,
        ),
        ("The actor is dead because its worker process has died. Worker exit type: S", False),
        ("RuntimeError: out of memory", False),
    ],
)
def test_a_lost_node_is_told_from_a_lost_worker_by_what_ray_says(reason, lost) -> None:
    assert node_lost(reason) is lost
