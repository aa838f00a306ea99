from typing import Any

import pytest

from dss_ray.records.rows import Row


def make_row(key: str = "a", **values: Any) -> Row:
    kind = values.get("kind", "searched")
    base = {"status": "done", "model": "m", "nfe": 5, "kind": kind, "solver": f"{kind} {key}"}
    more = {"guidance": 1.0, "features": "digits-cnn", "samples": 100, "fid": 2.0, "rmse": 0.1}
    return Row(**({"key": key} | base | more | values))


def make_final(key: str, values: list[float], selection: float, **more: Any) -> Row:
    mean = sum(values) / len(values)
    figures = {"fid": mean, "fid_values": values, "fid_spread": 0.1, "selection_fid": selection}
    return make_row(key, final=True, **(figures | more))


@pytest.fixture
def row():
    """Makes rows of a made-up sweep."""
    return make_row


@pytest.fixture
def final():
    """Makes rows that were evaluated again on fresh seeds."""
    return make_final
