"""The methods by name, their journals and the features they aim at."""

import pytest
import torch

from dss_ray.models.gaussian import plane
from dss_ray.models.guidance import guide
from dss_ray.search import features as module
from dss_ray.search.features import feature_map
from dss_ray.search.result import SearchResult, SearchSettings
from dss_ray.search.run import run_search
from dss_ray.search.stages import METHODS, StageJournal, once, restored, stored
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("frechet", "paper")])
def test_every_method_that_is_named_searches_under_its_name(oracle, method):
    settings = SearchSettings(samples=16, iterations=1, batch_size=8)
    found = run_search(oracle, 3, method=method, grid="uniform", settings=settings)
    assert list(found.history) == [method]


def test_stages_of_one_journal_do_not_see_each_other(memory):
    journal = memory()
    one, two = StageJournal(journal, 1), StageJournal(journal, 2)
    one.write("gradient", {"x": torch.zeros(1)})
    two.write("gradient", {"x": torch.ones(1)})
    assert (one.read("gradient")["x"], two.read("gradient")["x"]) == (0, 1)
    assert StageJournal(journal, 12).read("gradient") is None


@pytest.mark.parametrize("guidance", [None, 2.0, (1.0, 2.5, 3.0)])
@pytest.mark.parametrize("history", [[], [(0, 0.5), (7, 0.25)]])
def test_a_result_comes_back_from_a_journal_as_it_was(guidance, history):
    table = classical_table("ab2", make_grid("cosine", 3))
    result = SearchResult(table, history, 2**40, 1.5, 0.75, guidance)
    again = restored(stored(result))
    assert again.table.to_json() == table.to_json()
    rest = ("history", "evaluations", "seconds", "network_seconds", "guidance")
    assert all(getattr(again, name) == getattr(result, name) for name in rest)


def test_work_that_is_done_is_not_done_again(memory):
    journal, result = memory(), SearchResult(classical_table("euler", make_grid("uniform", 2)))
    once(journal, lambda: result)
    again = once(journal, lambda: pytest.fail("done again"))
    assert again.table.to_json() == result.table.to_json()


MATRIX = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))


class Linear:
    """An extractor that multiplies by ``MATRIX``."""

    name, dim, fingerprint = "linear", 3, "linear"

    def __call__(self, images):
        return images.flatten(1) @ MATRIX.to(images)


@pytest.fixture
def named(monkeypatch):
    monkeypatch.setattr(module, "load_extractor", {"linear": Linear()}.get)
    return "linear"


def test_features_are_those_of_the_images_that_states_stand_for(named):
    states = torch.randn(5, 2, generator=torch.Generator().manual_seed(1)).double()
    found = feature_map(guide(plane(), 1.0), named)(states)
    torch.testing.assert_close(found, (states + 1) / 2 @ MATRIX.double())


def test_features_have_derivatives_in_both_modes(named):
    features, states = feature_map(guide(plane(), 1.0), named), torch.randn(5, 2).double()
    _, moved = torch.func.jvp(features, (states,), (torch.ones_like(states),))
    torch.testing.assert_close(moved, (torch.ones(5, 2).double() / 2) @ MATRIX.double())
    assert torch.autograd.gradcheck(features, states.requires_grad_())


def test_a_model_without_an_extractor_has_no_features():
    assert feature_map(guide(plane(), 1.0)) is None
