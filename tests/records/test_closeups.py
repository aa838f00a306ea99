import pytest
import torch

from dss_ray.api import load_solver, sample, teacher_images
from dss_ray.bundle import save_bundle
from dss_ray.models.gaussian import plane
from dss_ray.models.zoo import load_model
from dss_ray.records import closeups
from dss_ray.records.closeups import PICTURES, look_closely


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path / "cache"))


def entry(folder, name, model="gaussian-mixture", nfe=4, **changes):
    bundle = load_solver(name, nfe).model_copy(update=changes)
    save_bundle(bundle, folder / f"{name}.json")
    return {"key": name, "kind": "classical", "model": model, "bundle": f"{name}.json"}


def look(entries, folder, model):
    return look_closely(entries, folder, model, lambda done, total: None)


def test_solvers_are_drawn_on_the_same_noises_as_the_teacher(tmp_path):
    model = load_model("digits-sit")
    (one,), missing = look([entry(tmp_path, "ab2", "digits-sit")], tmp_path, model)
    assert missing == [] and len(one.errors) == len(one.knots) == 5
    assert torch.equal(one.images, sample(load_solver("ab2", 4), model, PICTURES))
    assert torch.equal(one.teacher, teacher_images(model, 1.0, PICTURES))
    assert 0 < one.errors[-1] < 0.5


def test_a_model_of_no_images_has_errors_alone(tmp_path):
    (one,), _ = look([entry(tmp_path, "heun")], tmp_path, plane())
    assert one.images is None and one.errors[-1] > 0


def test_what_cannot_be_looked_at_says_why_and_keeps_nothing_else_away(tmp_path):
    entries = [
        entry(tmp_path, "ab2"),
        entry(tmp_path, "euler", guidance=(1.0, 2.0, 1.0, 1.0)),
        fingerprinted(tmp_path),
        {"key": "lost", "kind": "classical", "model": "m", "bundle": "lost.json"},
    ]
    found, missing = look(entries, tmp_path, plane())
    assert [one.key for one in found] == ["ab2"]
    assert [text.partition(":")[0] for text in missing[1:]] == [
        "gaussian-mixture",
        str(tmp_path / "lost.json"),
    ]
    assert "guidance that differs between steps" in missing[0]
    assert "not those that were searched on" in missing[1]


def fingerprinted(folder):
    """A solver that was searched on other weights of the same name."""
    changes = {"model": plane().name, "model_fingerprint": "0" * 64}
    save_bundle(load_solver("ab3", 4).model_copy(update=changes), folder / "ab3.json")
    return {"key": "ab3", "kind": "classical", "model": "m", "bundle": "ab3.json"}


def test_a_teacher_that_would_take_too_long_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(closeups, "PATIENCE", 0.0)
    found, (reason,) = look([entry(tmp_path, "ab2")], tmp_path, plane())
    assert found == [] and "too long for a report" in reason
