"""Errors of the published tables on Gaussian mixtures, beside Euler (which is DDIM) and AB2.

    python tests/benchmarks/published_on_mixture.py

A figure is the root mean square difference, per element, from the converged end state at the
table's own last knot. Euler and AB2 step uniformly in flow time, or in VP time beside the VP
tables. Nothing is asserted: the tables were searched on other models.
"""

import sys

import torch
from torch import Tensor

from dss_ray.models.gaussian import GaussianMixture, plane
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.published import published_names, published_table
from dss_ray.solver.sampling import sample
from dss_ray.solver.table import SolverTable
from dss_ray.solver.vp import VP_END, VP_START, frame_time

SAMPLES, REFERENCE_STEPS = 1000, 400


def line() -> GaussianMixture:
    """Three components on a line."""
    return GaussianMixture(
        torch.tensor([0.3, 0.5, 0.2]),
        torch.tensor([[-1.5], [0.2], [1.8]]),
        torch.tensor([0.05, 0.1, 0.02]),
        name="line",
    )


def start(model: GaussianMixture, first: Tensor) -> Tensor:
    """Noise (SAMPLES, *sample_shape) as VP models scale it where the table starts inside (0, 1)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(SAMPLES, *model.sample_shape, generator=generator, dtype=torch.float64)
    # a + s at frame time t is 1 / sqrt(t^2 + (1 - t)^2) on a path with a^2 + s^2 = 1.
    return noise * (first**2 + (1 - first) ** 2).sqrt()


def rivals(name: str, nfe: int) -> dict[str, SolverTable]:
    """The classical tables to compare with, uniform in the time in which the table was searched."""
    knots = make_grid("uniform", nfe)
    if name.startswith("vp"):
        vp_times = torch.linspace(VP_START, VP_END, nfe + 1, dtype=torch.float64)
        knots = frame_time(vp_times)
    return {solver: classical_table(solver, knots) for solver in ("euler", "ab2")}


def rms(difference: Tensor) -> float:
    """Root mean square over all elements."""
    return float(difference.square().mean().sqrt())


def report(model: GaussianMixture, names: list[str]) -> None:
    """Write one row per table of ``names``, which all run between the same two knots."""
    ends = published_table(names[0]).knots[[0, -1]]
    noise = start(model, ends[0])
    coarse, target = (
        sample(model, classical_table("ab4", make_grid("cosine", count, *ends.tolist())), noise)
        for count in (REFERENCE_STEPS // 2, REFERENCE_STEPS)
    )
    sys.stdout.write(f"{model.name}: halving the reference's steps moves it by ")
    sys.stdout.write(f"{rms(coarse - target):.1e}\n")
    for name in names:
        table = published_table(name)
        tables = {"published": table, **rivals(name, table.nfe)}
        errors = {
            solver: rms(sample(model, rival, noise) - target) for solver, rival in tables.items()
        }
        sys.stdout.write(f"{model.name:<18}{name:<13}")
        sys.stdout.write("".join(f"{error:>10.4f}" for error in errors.values()))
        sys.stdout.write(f"{errors['euler'] / errors['published']:>19.2f}\n")


def main() -> None:
    """Write the figures of both mixtures."""
    sys.stdout.write(f"{'mixture':<18}{'table':<13}{'published':>10}")
    sys.stdout.write(f"{'euler':>10}{'ab2':>10}{'euler / published':>19}\n")
    for model in (line(), plane()):
        for path in ("flow", "vp"):
            report(model, [name for name in published_names() if name.startswith(path)])


if __name__ == "__main__":
    main()
