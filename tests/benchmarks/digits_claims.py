"""Hold a finished sweep to its claims: searched solvers against all classical ones on all grids.

Run ``python tests/benchmarks/digits_claims.py`` where ``dss-ray sweep digits`` ran.
Every classical method on every grid is screened by rmse on 500 evaluation noises; the ten best are
measured on the same 2,000 noises as the searched solver, at its guidance.
"""

import argparse
from pathlib import Path

import torch

from dss_ray.api import load_model
from dss_ray.bundle import load_bundle
from dss_ray.evaluation.judge import reference_ends
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.models.guidance import GuidedModel, guide
from dss_ray.models.teacher import Teacher
from dss_ray.records.leaderboard import leaderboard_rows
from dss_ray.records.rows import read_rows
from dss_ray.solver.classical import baseline_tables
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample
from dss_ray.solver.table import SolverTable

GRIDS = (
    "uniform", "cosine", "logsnr", "edm", "edm:3", "shift:0.5", "shift:0.7", "shift:1.5", "shift:3",
    "flow-respacing", "vp-respacing", "power:0.8:1", "power:1:1.2", "power:1:1.4", "power:1:1.7",
    "power:1.2:1.4", "power:1.2:1.7", "power:1.4:1.7", "power:1.3", "power:1.6", "power:2",
)  # fmt: skip
SCREENED, MEASURED, KEPT = 500, 2000, 10


@torch.no_grad()
def rmse(model: GuidedModel, table: SolverTable, teacher: Teacher, count: int) -> float:
    """Root mean square difference to the converged end states of the first ``count`` noises."""
    ends = reference_ends(teacher, EvaluationPlan(count, teacher.seed, "evaluation"))
    noise, label = teacher.noise(0, count)
    return float((sample(model, table, noise, label) - ends).double().square().mean().sqrt())


def rivals(model: GuidedModel, teacher: Teacher, nfe: int) -> list[tuple[float, str]]:
    """The best classical solvers by rmse on all measured noises, the best first."""
    tables = {
        f"{name} on {grid}": table
        for grid in GRIDS
        for name, table in baseline_tables(make_grid(grid, nfe)).items()
    }
    screened = sorted(tables, key=lambda name: rmse(model, tables[name], teacher, SCREENED))
    return sorted((rmse(model, tables[name], teacher, MEASURED), name) for name in screened[:KEPT])


def main() -> None:
    """Print one line per NFE."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="digits")
    parser.add_argument("--nfe", default="4,5,6")
    options = parser.parse_args()
    folder = Path("runs") / options.name
    board = leaderboard_rows(read_rows(folder / "rows.jsonl"))
    for nfe in map(int, options.nfe.split(",")):
        rows = {row["kind"]: row for row in board if row["nfe"] == nfe}
        row, classical = rows["searched"], rows["classical"]
        model = guide(load_model(row["model"]), row["guidance"])
        teacher = Teacher(model, "evaluation", 0)
        found = rmse(model, load_bundle(folder / row["bundle"]).table, teacher, MEASURED)
        best, name = rivals(model, teacher, nfe)[0]
        print(
            f"NFE {nfe}, guidance {row['guidance']:g}: rmse {found:.5f} ({row['solver']}, "
            f"{row['grid']}) against {best:.5f} ({name}), ratio {found / best:.3f}; "
            f"FID[{row['features']}] {row['fid']:.4f} +- {row['fid_spread']:.4f} against "
            f"{classical['fid']:.4f} +- {classical['fid_spread']:.4f} ({classical['solver']} on "
            f"{classical['grid']}), {row['verdict']}",
            flush=True,
        )


if __name__ == "__main__":
    main()
