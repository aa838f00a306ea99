"""What a new sweep takes over from an earlier one."""

from dss_ray.config.space import parse_space
from dss_ray.records.rows import Row
from dss_ray.tune.samplers import Chooser
from dss_ray.tune.storage import open_storage
from dss_ray.tune.study import Study
from dss_ray.tune.warm_start import warm_points

SPACE = parse_space(
    {
        "nfe": {"choice": [4, 5]},
        "guidance": {"range": [1.0, 2.0], "step": 0.5},
        "method": {"choice": ["least-squares", "gradient"]},
        "grid": {"choice": ["uniform", "cosine"]},
        "learning_rate": {"range": [1e-3, 1e-1], "log": True, "when": {"method": "gradient"}},
    },
    "search",
)


def row(nfe, fid, guidance=1.0, model="digits-sit", **params):
    return Row(
        key=f"{nfe}{fid}",
        status="done",
        model=model,
        nfe=nfe,
        kind="searched",
        searched=True,
        solver="some",
        guidance=guidance,
        fid=fid,
        samples=1000,
        params=params,
    )


def test_the_best_point_of_each_step_count_that_this_space_has():
    rows = [
        row(4, 0.5, grid="cosine", method="gradient", learning_rate=0.02),
        row(4, 0.7, grid="uniform", method="least-squares"),
        row(5, 0.3, guidance=1.5, grid="power:1:2", method="least-squares", learning_rate=0.5),
        row(6, 0.1, grid="cosine", method="gradient"),
        row(4, 0.1, grid="uniform", method="gradient", model="digits-dit"),
    ]
    assert warm_points(SPACE, rows, "digits-sit") == [
        {
            "nfe": 4,
            "guidance": 1.0,
            "method": "gradient",
            "grid": "cosine",
            "learning_rate": 0.02,
        },
        {"nfe": 5, "guidance": 1.5, "method": "least-squares", "grid": "uniform"},
    ]


def test_values_off_the_steps_of_a_range_take_the_default():
    (found,) = warm_points(SPACE, [row(4, 0.5, guidance=1.2, method="least-squares")], "digits-dit")
    assert found["guidance"] == 1.5


def test_a_study_tries_them_first_and_none_twice(tmp_path):
    points = warm_points(
        SPACE, [row(5, 0.3, guidance=2.0, grid="cosine", method="least-squares")], "digits-sit"
    )
    study, seen = Study(open_storage(tmp_path), "model", SPACE, Chooser(), first=points), []
    for _ in range(6):
        seen.append(study.ask(lambda values: values in seen)[1])
    assert seen[0] == points[0]
    assert all(seen.count(values) == 1 for values in seen)
