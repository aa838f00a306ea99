"""The Python verbs, on the shipped model."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

import dss_ray
from dss_ray.api import frechet_target, search_journal
from dss_ray.bundle import save_bundle
from dss_ray.errors import UsageError
from dss_ray.evaluation.judge import Judge
from dss_ray.models.guidance import guide
from dss_ray.models.teacher import Teacher
from dss_ray.search.bures import FrechetTarget
from dss_ray.search.result import SearchSettings
from dss_ray.solver.sampling import sample

LEAN = SearchSettings(samples=32, iterations=1)  # of the default method


@pytest.fixture(scope="module")
def model():
    return dss_ray.load_model("digits-sit")


def figures(solver, model, metrics):
    return dss_ray.evaluate(solver, model, samples=64, seeds=[0], metrics=metrics).metrics


def test_the_state_of_a_search_belongs_to_one_model_and_one_aim(model) -> None:
    def path(steer=None, **changes):
        names = ("fingerprint", "sample_shape", "num_classes", "t_min", "t_max")
        other = SimpleNamespace(**{name: getattr(model, name) for name in names} | changes)
        return search_journal(other, steer, [5]).path

    aims = [FrechetTarget(abs, torch.zeros(2), size * torch.eye(2)) for size in (1.0, 2.0)]
    changed = path(t_max=0.9), path(sample_shape=(2,)), path(fingerprint="x"), *map(path, aims)
    assert len({path(), *changed}) == 6
    assert path() == path()


def test_a_verb_stays_a_function_after_its_subpackage_was_imported() -> None:
    code = "import dss_ray.search.run, dss_ray; assert callable(dss_ray.search), dss_ray.search"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_loads_neither_torch_nor_ray() -> None:
    code = "import sys, dss_ray; assert not {'torch', 'ray', 'mlflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_labels_are_drawn_in_turn_unless_they_are_named(model) -> None:
    solver = dss_ray.load_solver("ab2", 4)
    images = dss_ray.sample(solver, model, 12)
    assert torch.equal(dss_ray.sample(solver, model, labels=[*range(10), 0, 1]), images)
    threes = dss_ray.sample(solver, model, labels=[3, 3, 3, 3])
    assert torch.equal(threes[3], images[3]) and not torch.equal(threes[0], images[0])


def test_a_label_that_a_model_lacks_is_refused(model) -> None:
    with pytest.raises(UsageError, match="label 11: digits-sit has labels from 0 to 10"):
        dss_ray.sample(dss_ray.load_solver("ab2", 4), model, labels=[3, 11])


def test_the_same_seed_gives_the_same_table_and_images(model) -> None:
    one, two = (dss_ray.search(model, nfe=4, grid="uniform", settings=LEAN) for _ in range(2))
    assert one.table.to_json() == two.table.to_json()
    assert torch.equal(dss_ray.sample(one, model, 4), dss_ray.sample(two, model, 4))


def test_a_searched_solver_is_nearer_to_the_teacher_than_the_classical_one(model) -> None:
    searched = dss_ray.search(model, nfe=5, method="least-squares")
    classical = dss_ray.load_solver("ab2", nfe=5)
    errors = [
        dss_ray.evaluate(solver, model, samples=250, seeds=[0], metrics=["rmse"]).metrics["rmse"]
        for solver in (searched, classical)
    ]
    assert errors[0].mean < errors[1].mean


def test_a_guided_search_is_sampled_with_its_guidance(model) -> None:
    plain, guided = (
        dss_ray.search(model, nfe=3, method="least-squares", guidance=g, grid="uniform")
        for g in (1.0, 2.0)
    )
    assert guided.guidance == 2.0
    swapped = guided.model_copy(update={"guidance": 1.0})
    assert not torch.equal(dss_ray.sample(guided, model, 2), dss_ray.sample(swapped, model, 2))
    assert plain.guidance == 1.0


def test_equal_scales_per_step_are_the_single_scale_exactly(model) -> None:
    single = dss_ray.load_solver("ab2", nfe=3, guidance=2.0)
    steps = single.model_copy(update={"guidance": (2.0, 2.0, 2.0)})
    assert torch.equal(dss_ray.sample(single, model, 2), dss_ray.sample(steps, model, 2))
    assert figures(single, model, ["fid", "rmse"]) == figures(steps, model, ["fid", "rmse"])


def test_a_guidance_scale_per_step_is_kept_sampled_and_evaluated(model, tmp_path) -> None:
    save_bundle(dss_ray.load_solver("ab2", nfe=3, guidance=(1.0, 2.0, 3.5)), tmp_path / "s.json")
    solver = dss_ray.load_solver(tmp_path / "s.json")
    plain = solver.model_copy(update={"guidance": 1.0})
    assert solver.guidance == (1.0, 2.0, 3.5)
    assert not torch.equal(dss_ray.sample(solver, model, 2), dss_ray.sample(plain, model, 2))
    assert figures(solver, model, ["fid"]) != figures(plain, model, ["fid"])


def test_scales_that_differ_between_steps_have_no_rmse(model) -> None:
    solver = dss_ray.load_solver("ab2", nfe=2, guidance=(1.0, 2.0))
    with pytest.raises(UsageError, match="no rmse"):
        dss_ray.evaluate(solver, model, samples=250, seeds=[0])
    with pytest.raises(UsageError, match="one guidance scale or 2"):
        dss_ray.sample(solver.model_copy(update={"guidance": (1.0,) * 3}), model)


def test_a_frechet_target_holds_the_statistics_of_its_judges_extractor(model) -> None:
    """The distance that steers is the one that is measured, but for the rounding of pixels."""
    solver, judge = dss_ray.load_solver("ab2", nfe=3), Judge("digits-mlp")
    target = frechet_target(model, SearchSettings(features="digits-mlp"))
    noise, label = Teacher(guide(model, 1.0), "evaluation", 0).noise(0, 64)
    steered = target.distance(target.features(sample(model, solver.table, noise, label)).double())
    found = dss_ray.evaluate(solver, model, samples=64, seeds=[0], metrics=["fid"], judge=judge)
    assert float(steered) == pytest.approx(found.metrics["fid"].mean, rel=1e-2)


def test_unknown_names_are_refused_with_the_nearest(model) -> None:
    with pytest.raises(UsageError, match="did you mean 'ab2'"):
        dss_ray.load_solver("ab22", nfe=4)
    with pytest.raises(UsageError, match="did you mean 'rmse'"):
        dss_ray.evaluate(dss_ray.load_solver("ab2", nfe=4), model, metrics=["rmsee"])
    with pytest.raises(UsageError, match="--nfe"):
        dss_ray.load_solver("ab2")
