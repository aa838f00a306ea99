"""Peak memory of each search at few and at many queries, above that of a process that is ready.

    python tests/benchmarks/search_memory.py [--memory MIB] [--nfe 5,20] [--methods ...]

Every search runs in a process of its own, which first loads the model and the teacher and searches
on four samples; what its resident set grows by at most after that is the search's. Under one
budget each method must stay below it at every N, and the gradient search, which then computes its
activations again, must not take over 1.3 times as much at the largest N as at the smallest.
Linux only, where the kernel's high-water mark can be read and reset.
"""

import argparse
import ctypes
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from dss_ray.models.guidance import guide
from dss_ray.models.meter import Meter
from dss_ray.models.teacher import Teacher
from dss_ray.models.zoo import load_model
from dss_ray.search.gauss_newton import gauss_newton
from dss_ray.search.gradient import gradient
from dss_ray.search.result import SearchResult, SearchSettings
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid

METHODS: dict[str, Callable[..., SearchResult]] = {
    "gradient": gradient,
    "gauss-newton": gauss_newton,
}
SAMPLES = {"gradient": 256, "gauss-newton": 32}  # the latter has 209 directions at N = 20
ITERATIONS, GROWTH = {"gradient": 3, "gauss-newton": 1}, 1.3


def resident(field: str) -> float:
    """A size in /proc/self/status in MiB: "VmRSS" is resident now, "VmHWM" was at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def measured(method: str, nfe: int, samples: int, memory: int) -> dict[str, float]:
    """MiB that a search adds to this process, its evaluations and seconds in the network."""
    torch.set_num_threads(1)
    model = guide(load_model("digits-sit"), 1.0)
    settings = SearchSettings(
        samples=samples, batch_size=samples, iterations=ITERATIONS[method], memory=memory
    )
    reference, _, _ = Teacher(model, "search", 0).reference(samples)
    start = classical_table("ab2", make_grid("uniform", nfe))
    for knot in start.knots:
        reference.at(knot)  # maps the pages that a search reads
    METHODS[method](Meter(model), reference, start, replace(settings, samples=4, batch_size=4))
    ctypes.CDLL(None).malloc_trim(0)  # else the search fills what is free already
    before, velocity = resident("VmRSS"), Meter(model)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again
    METHODS[method](velocity, reference, start, settings)
    return {
        "mib": resident("VmHWM") - before,
        "evaluations": velocity.evaluations,
        "seconds": velocity.seconds,
    }


def peak(method: str, nfe: int, samples: int, memory: int) -> dict[str, float]:
    """``measured`` in a process of its own."""
    arguments = ["--child", method, str(nfe), str(samples), str(memory)]
    child = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True
    )
    figures: dict[str, float] = json.loads(child.stdout)
    return figures


def main() -> None:
    """Print one line for each method and N; exit with 1 where a claim fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", type=int, default=256, help="MiB")
    parser.add_argument("--samples", type=int, help="256 for gradient, 32 for gauss-newton")
    parser.add_argument("--nfe", default="5,20")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--child", nargs=4)
    options = parser.parse_args()
    if options.child:
        method, *numbers = options.child
        print(json.dumps(measured(method, *map(int, numbers))))
        return
    failed, nfes = False, [int(nfe) for nfe in options.nfe.split(",")]
    for method in options.methods.split(","):
        peaks = dict[int, float]()
        for nfe in nfes:
            figures = peak(method, nfe, options.samples or SAMPLES[method], options.memory)
            peaks[nfe] = figures["mib"]
            failed |= peaks[nfe] > options.memory
            print(
                f"{method:12} N = {nfe:3}: {peaks[nfe]:6.1f} MiB of {options.memory}, "
                f"{figures['evaluations']:.0f} evaluations, {figures['seconds']:.1f} s",
                flush=True,
            )
        growth = peaks[max(nfes)] / peaks[min(nfes)]
        print(f"{method:12} takes {growth:.2f} times as much at N = {max(nfes)}", flush=True)
        failed |= method == "gradient" and growth > GROWTH
    sys.exit(failed)


if __name__ == "__main__":
    main()
