import pytest

from dss_ray.errors import UsageError
from dss_ray.models.spec import make_spec, parse_spec

OPTIONS = {"path": "/data/a&b=c? d+e%.pt", "scale": 0.5, "count": 3, "fine": True, "name": "x"}


def test_what_is_made_is_parsed_again():
    assert parse_spec(make_spec("a.b:c", OPTIONS)) == ("a.b:c", OPTIONS)


def test_paths_are_written_as_they_are():
    path = "/data/SiT-XL-2 256x256_(1).pt"
    assert parse_spec(f"sit-xl-256?path={path}") == ("sit-xl-256", {"path": path})
    assert make_spec("m", {"path": "~/a-b_c.d/e:f"}) == "m?path=~/a-b_c.d/e:f"


def test_a_name_alone_has_no_options():
    assert parse_spec("digits-sit") == ("digits-sit", {})
    assert make_spec("digits-sit", {}) == "digits-sit"


@pytest.mark.parametrize("spec", ["m?", "m?a", "m?a=1&", "m?=1", "m?a=1&a=2", "m?1=2"])
def test_what_is_no_key_and_value_is_named(spec):
    with pytest.raises(UsageError, match="key=value"):
        parse_spec(spec)
