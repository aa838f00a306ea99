"""What the outer search is worth at equal network evaluations.

    python tests/benchmarks/outer_search.py FOLDER [--seeds 0,1,2,3,4] [--budget 2000000]
    python tests/benchmarks/outer_search.py FOLDER --methods least-squares
    python tests/benchmarks/outer_search.py FOLDER --summary

Runs sweeps on digits-sit in FOLDER, each of which may be interrupted and goes on, and compares the
fronts of (NFE, FID[digits-cnn]) by their hypervolume, larger is better, up to one step past the
largest NFE and to the worst FID of a best classical solver. FIDs are the finalists' on fresh seeds.
The baselines' samples count in every budget. The space holds the default search and least squares
over grids, guidance and more; with ``--methods least-squares`` that alone, which is cheap, so that
judging is most of the cost. Each kind of space wants a folder of its own.

* ``sweep``: TPE, trials judged at rungs and stopped when hopeless.
* ``random``: random points, all samples for each.
* ``defaults``: one search per NFE with the defaults, all samples for each; its evaluations are
  whatever they come to.
* ``grid`` and ``grid-rungs``: the same points of the first three step counts in order, without and
  with rungs, for the samples that progressive evaluation saves.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

NFES = [3, 4, 5, 6, 8]
METHOD = "least-squares+gauss-newton"  # the default
GRIDS = ["auto", "uniform", "cosine", "power:0.8:1", "power:1:1.2", "power:1:1.4", "power:1.2:1.7"]
SPACE: dict[str, Any] = {
    "models": ["digits-sit"],
    "trials": 10_000,
    "search": {
        "nfe": {"choice": NFES},
        "guidance": {"choice": [1.0, 1.2]},
        "method": {"choice": [METHOD, "least-squares"]},
        "grid": {"choice": GRIDS},
        "ridge": {"range": [1e-6, 1e-3], "log": True},
        "space": {"choice": ["auto", "velocity"], "when": {"method": METHOD}},
        "objective": {"choice": ["end", "trajectory"], "when": {"method": METHOD}},
    },
    "evaluation": {"samples": 5000, "final_samples": 5000, "final_seeds": [0, 1, 2]},
    "baselines": {
        "methods": ["ab2"],
        "grids": ["power:1.2:1.7"],
        "samples": 8,
        "keep": 1,
    },
}
CHEAP = {
    "nfe": {"choice": NFES},
    "guidance": {"choice": [1.0, 1.2]},
    "method": "least-squares",
    "grid": {"choice": GRIDS},
    "samples": {"choice": [256, 128, 64]},
    "ridge": {"range": [1e-6, 1e-3], "log": True},
}
RUNGS = [500, 1500]
DEFAULTS = {"nfe": {"choice": NFES}}
POINTS = {
    "nfe": {"choice": NFES[:3]},
    "guidance": {"choice": [1.0, 1.2]},
    "method": "least-squares",
    "grid": {"choice": GRIDS},
    "samples": 256,
}


def settings(strategy: str, seed: int, budget: int) -> dict[str, Any]:
    """The space file of a run."""
    evaluation = dict(SPACE["evaluation"])
    if strategy in ("sweep", "grid-rungs"):
        evaluation["rungs"] = RUNGS
    own = SPACE | {"evaluation": evaluation, "seed": seed, "name": f"{strategy}-{seed}"}
    if strategy == "defaults":
        return own | {"search": DEFAULTS, "trials": len(NFES), "sampler": "grid"}
    if strategy.startswith("grid"):
        return own | {"search": POINTS, "sampler": "grid"}
    sampler = "random" if strategy == "random" else "tpe"
    return own | {"sampler": sampler, "evaluation_budget": budget}


def run(folder: Path, strategy: str, seed: int, budget: int) -> None:
    """Do a run, or go on with it, unless its summary is there."""
    document = settings(strategy, seed, budget)
    name = str(document["name"])
    done = folder / f"{name}.json"
    if done.exists():
        return
    space = folder / f"{name}.space.yaml"
    space.write_text(json.dumps(document, indent=1))  # YAML holds JSON
    command = [str(Path(sys.executable).with_name("dss-ray")), "sweep", space.name, "--json"]
    resume = ["--resume"] if (folder / "runs" / name / "manifest.json").exists() else []
    found = subprocess.run(
        [*command, *resume], cwd=folder, stdout=subprocess.PIPE, text=True, check=True
    )
    done.write_text(found.stdout)


def front(summary: dict[str, Any]) -> dict[int, float]:
    """The best searched FID on fresh seeds by NFE."""
    return {row["nfe"]: row["fid"] for row in summary["best"] if row["searched"]}


def hypervolume(points: dict[int, float], worst: float) -> float:
    """The area that a front of (NFE, FID) dominates, up to one step beyond the last NFE."""
    ends = [*NFES[1:], NFES[-1] + 1]
    area, best = 0.0, worst
    for nfe, end in zip(NFES, ends, strict=True):
        best = min(best, points.get(nfe, worst))
        area += (end - nfe) * (worst - best)
    return area


def summary(folder: Path) -> Table:
    """All runs so far."""
    table = Table(
        "run", "hypervolume", *map(str, NFES), "evaluations", "samples", "stopped", "trials"
    )
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*-*.json"))}
    classical = [r["fid"] for s in found.values() for r in s["best"] if r["kind"] == "classical"]
    worst = max(classical, default=1.0)  # the worst of the best classical ones: three steps
    for name, one in found.items():
        cost, points = one["cost"], front(one)
        cells = [f"{points[nfe]:.3f}" if nfe in points else "-" for nfe in NFES]
        spent = cost["search_evaluations"] + cost["sampling_evaluations"]
        counts = [f"{spent:,}", f"{cost['samples']:,}", str(cost["stopped"]), str(one["trials"])]
        table.add_row(name, f"{hypervolume(points, worst):.4f}", *cells, *counts)
    for strategy in ("sweep", "random", "defaults"):
        areas = [
            hypervolume(front(one), worst)
            for name, one in found.items()
            if name.rpartition("-")[0] == strategy
        ]
        if areas:
            table.add_row(f"{strategy}, mean of {len(areas)}", f"{fmean(areas):.4f}")
    return table


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--budget", type=int, default=2_000_000)
    parser.add_argument("--methods", default="all", choices=["all", "least-squares"])
    parser.add_argument("--summary", action="store_true", help="run nothing")
    options = parser.parse_args()
    if options.methods == "least-squares":
        SPACE["search"] = CHEAP
    options.folder.mkdir(parents=True, exist_ok=True)
    if not options.summary:
        for seed in map(int, options.seeds.split(",")):
            for strategy in ("sweep", "random"):
                run(options.folder, strategy, seed, options.budget)
        for strategy in ("defaults", "grid", "grid-rungs"):
            run(options.folder, strategy, 0, options.budget)
    Console(width=140).print(summary(options.folder))


if __name__ == "__main__":
    main()
