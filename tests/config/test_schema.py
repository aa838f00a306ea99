"""The schema of space files accepts what a sweep accepts, and says why it refuses the rest."""

import jsonschema
import pytest
import yaml

from dss_ray.config.read import read_space, space_names
from dss_ray.config.schema import space_schema
from dss_ray.config.space import KEYS

DIGITS = yaml.safe_load(read_space("digits")[0])


@pytest.mark.parametrize("name", space_names())
def test_every_shipped_space_satisfies_it(name):
    jsonschema.validate(yaml.safe_load(read_space(name)[0]), space_schema())


@pytest.mark.parametrize(
    "change",
    [
        {"trails": 3},
        {"trials": 0},
        {"models": []},
        {"search": {}},
        {"search": {"nfe": 5, "grids": "uniform"}},
        {"search": {"nfe": "five"}},
        {"search": {"nfe": {"choice": []}}},
        {"search": {"nfe": 5, "ridge": {"range": [0.1]}}},
        {"search": {"nfe": 5, "method": {"range": [1, 2]}}},
        {"evaluation": {"rungs": [100]}},
        {"resources": {"gpus": -1}},
    ],
)
def test_mistakes_do_not_satisfy_it(change):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(DIGITS | change, space_schema())


def test_every_field_is_described():
    schema = space_schema()
    searched = schema["properties"]["search"]["properties"]
    assert set(searched) == set(KEYS)
    fields = [*searched.values(), *schema["properties"].values()]
    for part in schema["$defs"].values():
        fields += part["properties"].values()
    assert all(field.get("description") for field in fields)
