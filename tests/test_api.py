"""The Python verbs, on the shipped model."""

import subprocess
import sys

import pytest
import torch

import dss_ray
from dss_ray.errors import UsageError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path_factory.getbasetemp() / "api-cache"))


@pytest.fixture(scope="module")
def model():
    return dss_ray.load_model("digits-sit")


def test_a_verb_stays_a_function_after_its_subpackage_was_imported() -> None:
    code = "import dss_ray.search.run, dss_ray; assert callable(dss_ray.search), dss_ray.search"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_loads_neither_torch_nor_ray() -> None:
    code = "import sys, dss_ray; assert not {'torch', 'ray', 'mlflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_seed_gives_the_same_table_and_images(model) -> None:
    one, two = (dss_ray.search(model, nfe=4, grid="uniform") for _ in range(2))
    assert one.table.to_json() == two.table.to_json()
    assert torch.equal(dss_ray.sample(one, model, 4), dss_ray.sample(two, model, 4))


def test_a_searched_solver_is_nearer_to_the_teacher_than_the_classical_one(model) -> None:
    searched = dss_ray.search(model, nfe=5)
    classical = dss_ray.load_solver("ab2", nfe=5)
    errors = [
        dss_ray.evaluate(solver, model, samples=250, seeds=[0], metrics=["rmse"]).metrics["rmse"]
        for solver in (searched, classical)
    ]
    assert errors[0].mean < errors[1].mean


def test_a_guided_search_is_sampled_with_its_guidance(model) -> None:
    plain, guided = (dss_ray.search(model, nfe=3, guidance=g, grid="uniform") for g in (1.0, 2.0))
    assert guided.guidance == 2.0
    swapped = guided.model_copy(update={"guidance": 1.0})
    assert not torch.equal(dss_ray.sample(guided, model, 2), dss_ray.sample(swapped, model, 2))
    assert plain.guidance == 1.0


def test_unknown_names_are_refused_with_the_nearest(model) -> None:
    with pytest.raises(UsageError, match="did you mean 'ab2'"):
        dss_ray.load_solver("ab22", nfe=4)
    with pytest.raises(UsageError, match="did you mean 'rmse'"):
        dss_ray.evaluate(dss_ray.load_solver("ab2", nfe=4), model, metrics=["rmsee"])
    with pytest.raises(UsageError, match="--nfe"):
        dss_ray.load_solver("ab2")
