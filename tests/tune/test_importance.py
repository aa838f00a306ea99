import random

import pytest

from dss_ray.config.space import parse_space
from dss_ray.tune.importance import FEWEST, importances

SPACE = parse_space(
    {
        "nfe": {"choice": [4, 8]},
        "guidance": {"choice": [1.0, 2.0]},
        "grid": {"choice": ["uniform", "cosine"]},
        "method": {"choice": ["least-squares", "gradient"]},
        "ridge": {"range": [1e-6, 1e-3], "log": True},
        "learning_rate": {"range": [1e-3, 1e-2], "when": {"method": "gradient"}},
    },
    "search",
)


@pytest.fixture
def trials(row):
    """Rows whose distance follows guidance, and whose rmse follows the grid, at each NFE."""

    def made(count, **more):
        draw = random.Random(0)
        for number in range(count):
            nfe, method = draw.choice([4, 8]), draw.choice(["least-squares", "gradient"])
            params = {"nfe": nfe, "guidance": draw.choice([1.0, 2.0]), "method": method}
            params |= {
                "grid": draw.choice(["uniform", "cosine"]),
                "ridge": draw.uniform(1e-6, 1e-3),
            }
            if method == "gradient":
                params["learning_rate"] = draw.uniform(1e-3, 1e-2)
            fid = 100 / nfe**2 * params["guidance"] ** 2
            rmse = 1 / nfe**3 * (2 if params["grid"] == "uniform" else 1)
            values = {"nfe": nfe, "params": params, "fid": fid, "rmse": rmse}
            values |= {"fid_by_samples": {50: fid, 100 + number % 2: 1.0}}
            yield row(str(number), trial=number, **(values | more))

    return made


def test_what_a_figure_follows_takes_its_share_whatever_the_step_count(trials):
    found = importances(trials(60), SPACE)
    assert set(found["fid"]) == {"guidance", "grid", "method", "ridge", "learning_rate"}
    assert next(iter(found["fid"].items())) == ("guidance", pytest.approx(1, abs=0.05))
    assert next(iter(found["rmse"].items())) == ("grid", pytest.approx(1, abs=0.05))
    assert all(sum(shares.values()) == pytest.approx(1) for shares in found.values())


def test_the_same_rows_give_the_same_shares(trials):
    assert importances(trials(30), SPACE) == importances(trials(30), SPACE)


def test_few_trials_failed_ones_or_figures_that_never_differ_tell_nothing(trials):
    assert importances(trials(FEWEST - 1), SPACE) == {}
    assert importances(trials(60, status="failed", error="x"), SPACE) == {}
    assert set(importances(trials(60, rmse=0.5, nfe=4), SPACE)) == {"fid"}
    assert importances([], SPACE) == {}


def test_a_space_of_step_counts_alone_has_nothing_to_weigh(trials):
    assert importances(trials(60), SPACE[:1]) == {}
