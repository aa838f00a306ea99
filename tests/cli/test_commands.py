import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from dss_ray import api
from dss_ray.bundle import load_bundle
from dss_ray.evaluation.reference_statistics import load_reference
from dss_ray.models.zoo import load_model
from dss_ray.solver.classical import CLASSICAL

SEARCH = ["search", "gaussian-mixture", "--nfe", "4", "--grid", "uniform", "--samples", "64"]
DIGITS = ["--model", "digits-sit", "--samples", "64"]


def test_search_writes_the_bundle_whose_figures_it_prints(run):
    found = run(*SEARCH, "--method=least-squares", "--json").document
    assert set(found) == {"bundle", "rmse", "evaluations", "seconds", "nfe", "method"}
    bundle = load_bundle(Path(found["bundle"]))
    assert bundle.table.nfe == found["nfe"] == 4
    assert {name: one.mean for name, one in bundle.metrics.items()} == {"rmse": found["rmse"]}
    assert bundle.metrics["rmse"].samples == 2000
    assert found["evaluations"] == 4 * (
        64 * (1 + 8) + 3 * 64
    )  # one grid, its variants, the best three


def test_search_beats_the_solver_that_it_starts_from(run):
    searched = run(*SEARCH, "--json").document["rmse"]
    start = ["evaluate", "ab2", "--nfe=4", "--model=gaussian-mixture", "--metrics=rmse"]
    assert searched < run(*start, "--seeds=0", "--json").document["metrics"]["rmse"]["mean"]


def test_search_never_overwrites_a_solver(run):
    names = [run(*SEARCH, "--json").document["bundle"] for _ in range(3)]
    assert len(set(names)) == 3


def test_a_search_interrupted_while_it_is_measured_has_its_solver(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "evaluate", interrupted)
    assert run(*SEARCH, "--method=least-squares").code == 130
    (file,) = Path().glob("*.json")
    assert load_bundle(file).search.method == "least-squares"


@pytest.mark.parametrize("rate", ["1e-3", "0.001", "1.0e-3"])
def test_a_setting_is_a_number_however_it_is_written(run, rate):
    search = [*SEARCH, "--method=gradient", "--set=iterations=2", f"--set=learning_rate={rate}"]
    bundle = load_bundle(Path(run(*search, "--json").document["bundle"]))
    assert bundle.search.settings["learning_rate"] == 0.001


def test_search_finds_a_guidance_scale_per_step(run):
    search = ["search", "digits-sit", "--nfe=2", "--samples=16", "--grid=uniform"]
    chain = ["--method=least-squares+frechet", "--guidance=1.5", "--set=guidance_rate=1"]
    found = run(*search, *chain, "--set=iterations=1", "--set=batch_size=1600", "--json").document
    bundle = load_bundle(Path(found["bundle"]))
    assert len(set(bundle.guidance)) == 2
    assert found["rmse"] is None and bundle.metrics == {}


def test_search_goes_on_from_a_bundle(run):
    first = run(*SEARCH, "--json").document
    again = run(*SEARCH, "--start", first["bundle"], "--method", "least-squares", "--json").document
    assert load_bundle(Path(again["bundle"])).search.start == "given"


def test_the_same_seed_gives_the_same_table_and_another_one_does_not(run):
    seeds = [0, 0, 1]
    files = [run(*SEARCH, "--seed", seed, "--json").document["bundle"] for seed in seeds]
    one, same, other = (load_bundle(Path(file)).table.to_json() for file in files)
    assert one == same != other


def test_evaluate_gives_mean_spread_and_a_value_per_seed(run):
    found = run("evaluate", "ab2", "--nfe=3", *DIGITS, "--seeds=0,7", "--json").document
    assert (found["nfe"], found["features"]) == (3, "digits-cnn")
    assert set(found["metrics"]) == {"fid", "rmse"}
    for figure in found["metrics"].values():
        assert set(figure) == {"mean", "spread", "values"}
        assert figure["mean"] == pytest.approx(np.mean(figure["values"]))
        assert figure["spread"] == pytest.approx(np.std(figure["values"], ddof=1))


def test_evaluate_measures_at_the_guidance_that_is_asked_for(run):
    solver = ["evaluate", "ab2", "--nfe=3", *DIGITS, "--seeds=0", "--metrics=rmse", "--json"]
    plain, guided = run(*solver).document, run(*solver, "--guidance", "2").document
    assert plain["metrics"]["rmse"]["mean"] != guided["metrics"]["rmse"]["mean"]


def test_precision_and_recall_name_the_extractor_that_judges(run):
    asked = "--metrics=precision,recall", "--features=digits-mlp", "--seeds=0,1"
    found = run("evaluate", "ab2", "--nfe=3", *DIGITS, *asked, "--json").document
    assert (list(found["metrics"]), found["features"]) == (["precision", "recall"], "digits-mlp")
    assert all(0 <= value <= 1 for one in found["metrics"].values() for value in one["values"])
    assert "recall[digits-mlp]" in run("evaluate", "ab2", "--nfe=3", *DIGITS, *asked).out


def test_all_metrics_in_one_evaluation(run):
    asked = "--metrics=fid,sfid,inception_score,precision,recall,rmse", "--seeds=0"
    solver = ["evaluate", "ab2", "--nfe=3", "--model=digits-sit", "--samples=120", *asked]
    found = run(*solver, "--json").document["metrics"]
    assert list(found) == asked[0].partition("=")[2].split(",")
    assert 1 < found["inception_score"]["mean"] < 10
    shown = run(*solver).out
    assert all(name in shown for name in ("sFID[digits-cnn]", "inception_score[digits-cnn]"))


def test_an_unreadable_image_is_named(run):
    Path("folder").mkdir()
    for index in range(3):
        Image.new("L", (8, 8)).save(f"folder/{index}.png")
    Path("folder/1.png").write_bytes(b"not an image")
    asked = "reference", "folder", "--features=digits-cnn", "--out=s.npz"
    ended = run(*asked)
    assert ended.code == 2 and not Path("s.npz").exists()
    assert "folder/1.png: no readable image" in ended.sentence and "remove" in ended.sentence


def test_people_read_the_distance_under_its_extractors_name(run):
    assert "FID[digits-cnn]" in run("evaluate", "ab2", "--nfe=3", *DIGITS, "--seeds=0").out


def test_sample_draws_a_row_per_solver(run):
    alone = ["sample", "ab2", "--nfe=4", "--model=digits-sit", "--samples=4"]
    path = run(*alone, "-o", "a.png", "--json").document["path"]
    more = run(*alone, "-o", "new/b.png", "--compare", "euler,teacher", "--json").document["path"]
    heights = [Image.open(file).height for file in (path, more)]
    assert heights[1] == 3 * heights[0]


def test_reference_writes_statistics_that_load(run):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.save("images.npy", images)
    made = run("reference", "images.npy", "--features=digits-cnn", "--out=s.npz", "--json").document
    assert made == {"path": "s.npz", "images": 40, "features": "digits-cnn"}
    loaded = load_reference(Path("s.npz"))
    assert (loaded.statistics.n, loaded.require_spatial().dim) == (40, 112)


def test_evaluate_compares_with_the_statistics_that_reference_made(run):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.save("images.npy", images)
    run("reference", "images.npy", "--features=digits-cnn", "--out=s.npz")
    solver = ["evaluate", "ab2", "--nfe=3", *DIGITS, "--seeds=0", "--metrics=fid", "--json"]
    digits, own = run(*solver).document, run(*solver, "--statistics=s.npz").document
    assert own["metrics"]["fid"]["mean"] > 2 * digits["metrics"]["fid"]["mean"]


def test_every_model_listed_loads(run):
    rows = run("models", "--json").document
    assert "digits-sit" in [row["name"] for row in rows]
    assert [load_model(row["name"]).fingerprint for row in rows] == [r["fingerprint"] for r in rows]


def test_every_classical_and_published_solver_is_listed(run):
    rows = run("solvers", "--json").document
    kinds = [row["kind"] for row in rows]
    assert kinds.count("classical") == len(CLASSICAL)
    assert kinds.count("published") == 19


def test_a_written_bundle_satisfies_the_printed_schema(run):
    schema = run("schema").document
    bundle = run(*SEARCH, "--json").document["bundle"]
    jsonschema.validate(json.loads(Path(bundle).read_text()), schema)


MODEL = """
from dss_ray.models.gaussian import plane
def build():
    return plane()
"""


def test_a_module_in_the_current_folder_is_a_model(run):
    Path("own_model.py").write_text(MODEL)
    found = run("search", "own_model:build", "--nfe=3", "--grid=uniform", "--json")
    assert found.document["nfe"] == 3


def test_reference_says_all_that_its_statistics_serve(run):
    shown = run("reference", "--help").out
    assert all(metric in shown for metric in ("FID", "precision", "recall"))
