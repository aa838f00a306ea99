"""A search's verbs: chains, costs, determinism, starts, and what it refuses."""

import pytest
import torch

from dss_ray.errors import DivergedError, TableError, UsageError
from dss_ray.models.guidance import guide
from dss_ray.models.teacher import Teacher
from dss_ray.search import target
from dss_ray.search.bures import FrechetTarget
from dss_ray.search.result import SearchSettings
from dss_ray.search.run import parse_chain, run_search
from dss_ray.solver.classical import baseline_tables, classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample

SHORT = SearchSettings(samples=64, iterations=5, batch_size=16)
PROBE = 3  # samples on which a gradient finds out how much memory it takes


def cost(stage, nfe):
    """Network evaluations per sample of each stage under SHORT, counted by hand."""
    counts = {
        "least-squares": 64 * (13 + 3 * 8) + 3 * 64,
        "least-squares on one grid": 64 * (1 + 8) + 3 * 64,
        "gradient": 3 * (5 * 16 + PROBE) + 16,  # forward one, backward two; the end is checked
    }
    return counts[stage] * nfe


@pytest.mark.parametrize("nfe", [1, 4])
def test_the_costs_of_a_chain_add_up_and_each_stage_has_its_history(oracle, nfe):
    chain = "least-squares+gradient"
    found = run_search(oracle, nfe, method=chain, settings=SHORT)
    assert found.evaluations == cost("least-squares", nfe) + cost("gradient", nfe)
    assert {stage: len(points) for stage, points in found.history.items()} == {
        "least-squares": nfe,
        "gradient": 5,
    }
    given = run_search(oracle, nfe, method=chain, grid="cosine", settings=SHORT)
    on_one = cost("least-squares on one grid", nfe)
    assert given.evaluations == on_one + cost("gradient", nfe)
    assert given.grid == "cosine"


def test_a_screening_tells_how_far_it_has_come(oracle):
    told = []
    search = {"method": "least-squares", "settings": SHORT}
    run_search(oracle, 3, **search, progress=lambda *at: told.append(at))
    teacher, screening = told[:2], told[2:]
    assert teacher == [(32, 64), (64, 64)]
    total = cost("least-squares", 3)
    assert screening[0] == (0, total) and screening[-1] == (total - 3 * 64, total)
    assert len(screening) == 13 + 3 * 8 + 3
    assert screening == sorted(screening)


def test_repeated_stages_keep_their_histories(oracle):
    found = run_search(
        oracle, 3, method="gradient+least-squares+gradient", grid="cosine", settings=SHORT
    )
    assert list(found.history) == ["gradient 1", "least-squares", "gradient 3"]


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_evaluations_are_the_networks_calls_times_the_samples(
    counted, guidance, tmp_path, monkeypatch
):
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path))
    settings = {"method": "least-squares", "guidance": guidance, "settings": SHORT}
    found = run_search(counted, 4, **settings)
    assert counted.samples == found.evaluations + found.reference_evaluations
    counted.samples = 0
    again = run_search(counted, 4, **settings)  # the cache serves the reference
    assert counted.samples == again.evaluations == found.evaluations
    assert again.reference_evaluations == found.reference_evaluations
    assert again.reference_seconds == found.reference_seconds
    counted.samples = 0
    steep = run_search(counted, 4, **settings | {"method": "gradient"})
    assert steep.evaluations == cost("gradient", 4) * (1 if guidance == 1 else 2)
    assert counted.samples == steep.evaluations * (5 * 16 + PROBE + 16) / (cost("gradient", 1))


def test_a_stage_starts_from_the_result_of_the_one_before(oracle, monkeypatch):
    monkeypatch.setattr(target, "FINER", 1.0)  # one teacher for both
    settings = SearchSettings(samples=64, iterations=1, batch_size=64, objective="end")
    found = run_search(oracle, 3, method="least-squares+gradient", settings=settings)
    reached = found.history["least-squares"][-1][1]
    assert found.history["gradient"][0][1] == pytest.approx(reached**2, rel=1e-3)


def test_a_teacher_that_grows_finer_on_the_way_costs_both_its_parts(counted, tmp_path, monkeypatch):
    monkeypatch.setenv("DSS_RAY_CACHE", str(tmp_path))
    monkeypatch.setattr(target, "FINER", 1e-4)
    chain = {"method": "least-squares+gradient", "grid": "uniform", "settings": SHORT}
    found = run_search(counted, 4, **chain)
    backward = 4 * 2 * (5 * 16 + PROBE)
    searched = cost("least-squares on one grid", 4) + cost("gradient", 4) - backward
    assert counted.samples == searched + found.reference_evaluations
    again = run_search(counted, 4, **chain)  # the cache serves the reference
    assert again.reference_evaluations == found.reference_evaluations
    assert again.reference_seconds == found.reference_seconds


@pytest.mark.parametrize("method", ["least-squares", "gradient", "least-squares+gradient"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(oracle, method):
    tables = [
        run_search(
            oracle, 4, method=method, settings=SearchSettings(64, seed=seed, iterations=5)
        ).table
        for seed in (0, 0, 1)
    ]
    assert torch.equal(tables[0].weights, tables[1].weights)
    assert torch.equal(tables[0].knots, tables[1].knots)
    assert not torch.equal(tables[0].weights, tables[2].weights)


def test_later_stages_that_need_fewer_samples_do_not_hide_what_earlier_ones_have_seen(oracle):
    """``frechet`` descends on the noises beyond them."""
    aimed = target.Target(Teacher(guide(oracle, 1.0), "search", 0), None)
    assert [len(aimed.trajectories(samples)) for samples in (64, 32)] == [64, 32]
    assert aimed.samples == 64


def test_a_given_table_is_searched_from_where_it_starts_to_where_it_ends(oracle):
    start = classical_table("ab2", make_grid("uniform", 4, 0.0, 0.8))
    found = run_search(oracle, 4, method="least-squares", start=start, settings=SHORT)
    rough = target.first_tolerance(4)
    teacher = Teacher(guide(oracle, 1.0), "search", 0, (0.0, 0.8), rough)
    noise, label = teacher.noise(0, 64)
    off = (sample(oracle, found.table, noise, label) - teacher.ends(0, 64)).square().mean().sqrt()
    assert float(off) == pytest.approx(found.history["least-squares"][-1][1], rel=1e-3)
    assert found.grid == "given"
    assert torch.equal(found.table.knots, start.knots)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("nfe", [3, 5, 8])
def test_even_on_sharp_mixtures_a_chain_beats_every_classical_solver(random_mixture, seed, nfe):
    mixture = random_mixture(seed, width=0.01)
    grid = ("uniform", "cosine", "power:1.6:1.4", "shift:0.7")[seed % 4]
    settings = SearchSettings(
        seed=seed, space="velocity", iterations=60, batch_size=256, learning_rate=0.01
    )
    found = run_search(mixture, nfe, method="least-squares+gradient", grid=grid, settings=settings)
    reference, _, _ = Teacher(guide(mixture, 1.0), "search", seed).reference(256)

    def error(table):
        with torch.no_grad():
            end = sample(mixture, table, reference.noise, reference.label)
        return float((end - reference.end).square().mean().sqrt())

    classical = {n: error(t) for n, t in baseline_tables(make_grid(grid, nfe)).items()}
    assert error(found.table) < min(classical.values()), classical


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("least-square", "did you mean 'least-squares'"),
        ("gradient+lion", "unknown search method 'lion'"),
        ("least-squares+", "unknown search method ''"),
        ("gradient+paper", "'paper' has its own start"),
        ("paper+paper", "'paper' has its own start"),
    ],
)
def test_a_wrong_chain_is_refused(method, message):
    with pytest.raises(UsageError, match=message):
        parse_chain(method)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": "cosin"}, "did you mean 'cosine'"),
        ({"start": "ab22"}, "did you mean 'ab2'"),
        ({"settings": SearchSettings(loss="hubert:1")}, "did you mean 'huber'"),
        ({"settings": SearchSettings(space="hole")}, "did you mean 'whole'"),
        ({"nfe": 161}, "at most 160"),
        ({"start": classical_table("ab2", make_grid("uniform", 5))}, "makes 5 queries"),
        ({"nfe": 0}, "1 to 1000 steps"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_computed(counted, options, message):
    with pytest.raises(UsageError, match=message):
        run_search(counted, **{"nfe": 4, **options})
    assert counted.samples == 0


def test_an_extractor_that_cannot_read_the_samples_is_refused_at_once(counted):
    settings = SearchSettings(64, objective="features", features="digits-cnn")
    with pytest.raises(UsageError, match=r"'digits-cnn' cannot read the samples \(2,\)"):
        run_search(counted, 4, settings=settings)
    assert counted.samples == 0


def test_a_table_outside_the_models_time_is_refused(counted):
    counted.t_max = 0.9
    start = classical_table("ab2", make_grid("uniform", 4))
    with pytest.raises(UsageError, match="runs from 0 to 1"):
        run_search(counted, 4, start=start)


def test_the_gradient_cannot_start_from_repeated_knots(oracle):
    with pytest.raises(TableError, match="such as ab2"):
        run_search(oracle, 4, method="gradient", start="heun", settings=SHORT)


@pytest.mark.parametrize("method", ["least-squares", "gradient", "paper"])
def test_a_model_that_gives_nan_is_a_typed_error(counted, method):
    class Broken:
        fingerprint = "broken"

        def __getattr__(self, name):
            return getattr(counted, name)

        def __call__(self, x, t, label):
            return x.log()

    with pytest.raises(DivergedError, match=r"NaN|nan"):
        run_search(Broken(), 4, method=method, settings=SHORT)


def test_a_chain_that_ends_with_frechet_keeps_the_guidance_that_it_finds(oracle):
    ends = Teacher(guide(oracle, 1.0), "selection", 0).ends(0, 1000).double()
    steer = FrechetTarget(lambda states: states, ends.mean(0), ends.T.cov())
    settings = SearchSettings(samples=32, iterations=4, batch_size=1000, guidance_rate=1.0)
    chain = "least-squares+frechet"
    found = run_search(oracle, 3, method=chain, grid="uniform", settings=settings, steer=steer)
    assert isinstance(found.guidance, tuple) and len(found.guidance) == 3
    first, last = found.history["frechet"][0][1], min(loss for _, loss in found.history["frechet"])
    assert last < first
    with pytest.raises(UsageError, match="statistics to steer by"):
        run_search(oracle, 3, method=chain)
    with pytest.raises(UsageError, match="comes last"):
        parse_chain("frechet+gradient")


@pytest.mark.parametrize(
    "chain",
    [
        {"method": "gradient+gauss-newton", "grid": "uniform"},
        {"method": "least-squares+gauss-newton", "grid": "auto"},
        {"method": "least-squares+gradient", "grid": "cosine"},
    ],
)
def test_finished_stages_are_not_run_again(memory, counted, chain):
    journal = memory()
    search = chain | {"settings": SHORT, "journal": journal}
    found = run_search(counted, 4, **search)
    counted.samples = 0
    again = run_search(counted, 4, **search)
    assert counted.samples == 0
    assert again.table.to_json() == found.table.to_json()
    assert (again.grid, again.history) == (found.grid, found.history)
    assert (again.evaluations, again.seconds) == (found.evaluations, found.seconds)
