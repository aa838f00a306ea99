from pathlib import Path

import numpy as np
import pytest

from dss_ray.api import load_solver
from dss_ray.bundle import save_bundle
from dss_ray.solver.table import SolverTable

EVALUATE = ["evaluate", "ab2", "--nfe", "4", "--model", "gaussian-mixture"]
SEARCH = ["search", "gaussian-mixture", "--nfe", "4"]
SPACE = """
models: [digits-sit]
search: {nfe: {choice: [4, 5]}, gird: uniform}
baselines: {methods: [euler], grids: [uniform]}
"""
DIGITS = ["evaluate", "ab2", "--nfe=3", "--model=digits-sit"]
WRONG = {
    "command": (["serch"], "'search'"),
    "option": ([*SEARCH, "--guidence", "2"], "--guidance"),
    "model": (["search", "gausian-mixture", "--nfe", "4"], "'gaussian-mixture'"),
    "method": ([*SEARCH, "--method", "least-square"], "'least-squares'"),
    "grid": ([*SEARCH, "--grid", "unifrom"], "'uniform'"),
    "classical solver's grid": ([*EVALUATE, "--grid", "cosin"], "'cosine'"),
    "starting table": ([*SEARCH, "--start", "ab22"], "'ab2'"),
    "solver": (["evaluate", "dpmp2m", "--nfe", "4", "--model", "gaussian-mixture"], "'dpmpp2m'"),
    "metric": ([*EVALUATE, "--metrics", "rmes"], "'rmse'"),
    "compared solver": (
        ["sample", "ab2", "--nfe=4", "--model=digits-sit", "--out=x.png", "--compare=ipdnm"],
        "'ipndm'",
    ),
    "extractor": (["reference", ".", "--features", "digit-cnn", "-o", "x.npz"], "'digits-cnn'"),
    "search space": (["sweep", "digit"], "'digits'"),
    "grid of an infinite space": (["sweep", "digits", "--set", "sampler=grid"], "finite space"),
    "sampler": (["sweep", "digits", "--set", "sampler=tpa"], "sampler"),
    "objective": (["sweep", "digits", "--set", "objectives=[nfe, fit]"], "objectives"),
    "space of one point": (["sweep", "digits", "--set", "search={nfe: 5}"], "a single point"),
    "earlier sweep": (["sweep", "digits", "--set", "warm_start=[evening]"], "unknown sweep"),
    "rungs": (["sweep", "digits", "--set", "evaluation.rungs=[100]"], "multiple of 250"),
    "GPUs": (["sweep", "digits", "--set", "resources.gpus=1"], "resources.gpus to 0"),
    "space's key": (["sweep", "space.yaml"], "'grid'"),
    "setting's key": (["sweep", "digits", "--set", "trails=3"], "'trials'"),
    "export format": (["export", "solver.json", "-o", ".", "--format", "bundl"], "'bundle'"),
    "sweep": (["leaderboard", "nihgt"], "'night'"),
}


@pytest.mark.parametrize("arguments, nearest", WRONG.values(), ids=WRONG)
def test_unknown_names_end_with_2_and_name_the_nearest(run, arguments, nearest):
    Path("space.yaml").write_text(SPACE)
    Path("runs/night").mkdir(parents=True)
    ended = run(*arguments)
    assert ended.code == 2
    assert nearest in ended.sentence


REFUSED = {
    "missing bundle": (["evaluate", "no.json", "--model", "gaussian-mixture"], "no.json"),
    "foreign bundle": (["evaluate", "foreign.json", "--model", "gaussian-mixture"], "foreign.json"),
    "missing images": (["reference", "no.npy", "--features=digits-cnn", "--out=x.npz"], "no.npy"),
    "missing space": (["sweep", "no.yaml"], "no.yaml"),
    "missing module": (["search", "nowhere:build", "--nfe", "4"], "nowhere"),
    "no step count": (["evaluate", "ab2", "--model", "gaussian-mixture"], "--nfe"),
    "another step count": (["evaluate", "flow-sit-5", "--nfe=6", "--model=digits-sit"], "--nfe"),
    "seeds": ([*EVALUATE, "--seeds", "0,x"], "--seeds"),
    "setting": (["sweep", "digits", "--set", "trials"], "--set"),
    "no picture file": (
        ["sample", "ab2", "--nfe=4", "--model=digits-sit", "--out=x.txt"],
        "--out",
    ),
    "model without images": (
        ["sample", "ab2", "--nfe=4", "--model=gaussian-mixture", "--out=x.png"],
        "gaussian-mixture",
    ),
    "model without extractor": ([*EVALUATE, "--metrics", "fid", "--samples", "16"], "extractor"),
    "few samples": ([*DIGITS, "--metrics=fid", "--samples=48"], "48 dimensions; ask for more"),
    "few samples of a sweep": (["sweep", "digits", "--set", "evaluation.samples=48"], "final_samp"),
    "no convolution": ([*DIGITS, "--metrics=sfid", "--features=digits-mlp"], "no convolution"),
    "statistics of Inception": ([*DIGITS, "--statistics=theirs.npz"], "theirs.npz"),
    "Inception without weights": ([*DIGITS, "--features=inception"], "inception?path=FILE"),
    "file in the way": ([*SEARCH, "--out", "foreign.json"], "foreign.json"),
    "no sweep yet": (["leaderboard", "night"], "night"),
    "search setting": ([*SEARCH, "--set", "spac=whole"], "did you mean 'space'"),
    "search setting's kind": ([*SEARCH, "--set", "space=3"], "expected str, got 3"),
    "search setting's value": ([*SEARCH, "--set", "space=hole"], "did you mean 'whole'"),
    "search setting's range": ([*SEARCH, "--set", "ema=1"], "less than 1"),
    "search assignment": ([*SEARCH, "--set", "space"], "KEY=VALUE such as space=whole"),
    "steering without an extractor": ([*SEARCH, "--method", "frechet"], "setting features"),
    "step count zero": (["search", "gaussian-mixture", "--nfe", "0"], "--nfe"),
}


@pytest.mark.parametrize("arguments, place", REFUSED.values(), ids=REFUSED)
def test_bad_input_ends_with_2_and_names_its_place(run, arguments, place):
    Path("foreign.json").write_text('{"some": "thing"}')
    np.savez("theirs.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    ended = run(*arguments)
    assert ended.code == 2
    assert place in ended.sentence


def test_a_solver_that_diverges_ends_with_1(run):
    bundle = load_solver("ab2", 4)
    document = bundle.table.to_json() | {"free": True, "start": [1e300] * 4}
    table = SolverTable.from_json(document)
    save_bundle(bundle.model_copy(update={"table": table}), Path("huge.json"))
    ended = run("evaluate", "huge.json", "--model=gaussian-mixture", "--metrics=rmse")
    assert ended.code == 1
    assert "NaN or infinity" in ended.sentence


def test_debug_shows_the_traceback_before_the_sentence(run):
    ended = run("evaluate", "no.json", "--model", "gaussian-mixture", "--debug")
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert ended.err.splitlines()[-1].startswith("dss-ray: no.json")


def test_an_error_leaves_standard_output_empty_under_json(run):
    assert run(*EVALUATE, "--grid", "no", "--json").out == ""
