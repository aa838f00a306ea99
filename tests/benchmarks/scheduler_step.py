"""What a step of the exported scheduler costs beside diffusers' Euler: 4 x 64 x 64, ten steps.

    python tests/benchmarks/scheduler_step.py

The table is one of the whole space, with no weight zero and queries between its knots, so that
nothing is left out. Both schedulers take turns, in processor time of one thread; printed are the
medians over the rounds, in milliseconds a step.
"""

import argparse
import statistics
import time
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler

from dss_ray.export.diffusers_scheduler import TableScheduler
from dss_ray.export.predictions import FLOW, NOISE, V
from dss_ray.solver.grids import make_grid
from dss_ray.solver.table import SolverTable

MORE = 0.1  # ms: asked is at most this above Euler
NFE, SHAPE = 10, (1, 4, 64, 64)
DIFFUSION = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
EULER = {
    FLOW: FlowMatchEulerDiscreteScheduler(),
    NOISE: EulerDiscreteScheduler(**DIFFUSION),
    V: EulerDiscreteScheduler(**DIFFUSION, prediction_type="v_prediction"),
}


def exported(prediction: str) -> TableScheduler:
    """The scheduler of a table without zeros."""
    torch.manual_seed(0)
    knots = make_grid("uniform", NFE, 0.01, 0.99)
    start, *weights = torch.randn(NFE + 1, NFE, dtype=torch.float64)
    times = knots[:-1] + 0.1 * knots.diff()
    table = SolverTable(times, start, torch.stack(weights).tril(), knots, free=True)
    return TableScheduler(
        table=table.to_json(),
        prediction_type=prediction,
        timesteps=(1000 * (1 - times)).tolist(),
        solver="random",
        model="none",
        guidance=1.0,
    )


def milliseconds(scheduler: Any, state: torch.Tensor, output: torch.Tensor) -> float:
    """Processor milliseconds of a step, as a pipeline makes it, over one trajectory."""
    scheduler.set_timesteps(NFE)
    scaled = hasattr(scheduler, "scale_model_input")
    began = time.process_time()
    for timestep in scheduler.timesteps:
        if scaled:
            scheduler.scale_model_input(state, timestep)
        state = scheduler.step(output, timestep, state, return_dict=False)[0]
    return 1000 * (time.process_time() - began) / NFE


@torch.no_grad()
def main() -> int:
    """Print a line for each prediction; 1 if one is above what is asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    state, output = torch.randn(2, *SHAPE)
    worst = 0.0
    for prediction, euler in EULER.items():
        pair = euler, exported(prediction)
        taken = [[milliseconds(one, state, output) for one in pair] for _ in range(rounds + 20)]
        own, ours = (statistics.median(column) for column in zip(*taken[20:], strict=True))
        worst = max(worst, ours - own)
        print(
            f"{prediction}: Euler {own:.4f} ms, exported {ours:.4f} ms, "
            f"{ours - own:+.4f} ms (at most +{MORE} asked)"
        )
    return int(worst > MORE)


if __name__ == "__main__":
    raise SystemExit(main())
