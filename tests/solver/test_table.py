import json

import pytest
import torch

from dss_ray.errors import TableError
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.published import published_table
from dss_ray.solver.table import FIELDS, SolverTable


@pytest.fixture
def table():
    return classical_table("dpmpp2m", make_grid("power:1.7", 5))


def changed(table, free=False, **fields):
    return SolverTable(**({name: getattr(table, name) for name in FIELDS} | fields), free=free)


def put(tensor, index, value):
    tensor = tensor.clone()
    tensor[index] = value
    return tensor


def test_json_round_trip_is_exact(table):
    restored = SolverTable.from_json(json.loads(json.dumps(table.to_json())))
    for name in FIELDS:
        assert torch.equal(getattr(restored, name), getattr(table, name))
    assert restored.free == table.free


def test_json_round_trip_keeps_published_and_free_tables():
    published = published_table("vp-dit-7")
    free = changed(published, start=published.start * 1.01, free=True)
    restored = SolverTable.from_json(json.loads(json.dumps(free.to_json())))
    assert restored.free and torch.equal(restored.start, free.start)


def test_json_of_a_table_with_gradients_can_be_written(table):
    grown = changed(table, weights=table.weights.clone().requires_grad_())
    assert SolverTable.from_json(grown.to_json()).nfe == table.nfe


@pytest.mark.parametrize("name", [*FIELDS, "free"])
def test_a_missing_field_is_refused(table, name):
    document = table.to_json()
    del document[name]
    with pytest.raises(TableError, match="expected the fields"):
        SolverTable.from_json(document)


@pytest.mark.parametrize(
    "fields", [{"extra": 1}, {"times": "abc"}, {"weights": [[1.0], [1.0, 2.0]]}, {"free": 1}]
)
def test_foreign_fields_and_values_are_refused(table, fields):
    with pytest.raises(TableError, match="solver table"):
        SolverTable.from_json(table.to_json() | fields)


@pytest.mark.parametrize("document", [None, [], "table", 3])
def test_a_document_that_is_no_object_is_refused(document):
    with pytest.raises(TableError, match="expected the fields"):
        SolverTable.from_json(document)


@pytest.mark.parametrize("name", FIELDS)
def test_wrong_shape_names_the_field(table, name):
    if name == "times":  # times fix the count that the others are held to
        with pytest.raises(TableError, match="must have shape"):
            changed(table, times=table.times[:-1])
    else:
        with pytest.raises(TableError, match=f"{name} must have shape"):
            changed(table, **{name: getattr(table, name)[:-1]})


def test_no_query_times_is_refused():
    empty = torch.zeros(0, dtype=torch.float64)
    with pytest.raises(TableError, match="at least one"):
        SolverTable(empty, empty, empty[:, None], torch.zeros(1, dtype=torch.float64))


def test_single_precision_is_refused(table):
    with pytest.raises(TableError, match="float64"):
        changed(table, times=table.times.float())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", FIELDS)
def test_not_finite_is_refused(table, name, value):
    with pytest.raises(TableError, match=f"{name} holds NaN"):
        changed(table, **{name: put(getattr(table, name), 0, value)})


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_times_outside_the_unit_interval_are_refused(table, value):
    with pytest.raises(TableError, match=r"must lie in \[0, 1\]"):
        changed(table, knots=put(table.knots, -1 if value > 1 else 0, value))


@pytest.mark.parametrize("name", ["times", "knots"])
def test_decreasing_times_are_refused(table, name):
    with pytest.raises(TableError, match=f"{name} must not decrease"):
        changed(table, **{name: getattr(table, name).flip(0)})


def test_weights_on_the_future_are_refused_even_when_free(table):
    for free in (False, True):
        with pytest.raises(TableError, match="lower triangular"):
            changed(table, weights=put(table.weights, (0, 1), 1e-30), free=free)


def test_inconsistent_rows_and_starts_need_the_free_mark(table):
    for fields in (
        {"weights": put(table.weights, (2, 0), 0.5)},
        {"start": put(table.start, 1, 1.001)},
    ):
        with pytest.raises(TableError, match="free"):
            changed(table, **fields)
        assert changed(table, free=True, **fields).free


def test_heun_may_repeat_times():
    times = classical_table("heun", make_grid("uniform", 4)).times
    assert times.tolist() == [0.0, 0.5, 0.5, 1.0]
