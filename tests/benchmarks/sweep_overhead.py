"""What a sweep adds to its trials: seconds per trial, and how the driver's memory grows.

    python tests/benchmarks/sweep_overhead.py FOLDER [--trials 500]
    python tests/benchmarks/sweep_overhead.py FOLDER --trials 40 --samples 8000

Sweeps digits-sit in FOLDER with a worker per core and reads the driver's memory while it runs. With
the default samples a trial is cheap; with many it takes seconds, and the share of the cores' time
inside network evaluations counts. Overhead is the workers' wall time between the first job and the
last outcome, less what they spent on jobs, per job; starting Ray is left out.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SPACE = {
    "models": ["digits-sit"],
    "sampler": "random",
    "search": {
        "nfe": {"choice": [3, 4]},
        "method": "least-squares",
        "grid": "uniform",
        "samples": 16,
        "ridge": {"range": [1e-6, 1e-2], "log": True},
    },
    "baselines": {"methods": ["ab2"], "grids": ["uniform"], "samples": 8, "keep": 1},
}
WARM = 0.1  # share of the trials after which memory is compared


def megabytes(process: int) -> float:
    """Resident memory."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) / 1024
    return 0.0


def rows(folder: Path) -> list[dict[str, Any]]:
    """The record so far, half a line at its end left out."""
    path = folder / "runs/overhead/rows.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def measure(folder: Path, trials: int, samples: int) -> dict[str, Any]:
    """Run the sweep and watch it."""
    evaluation = {"samples": samples, "final_samples": 64, "final_seeds": [0, 1]}
    space = SPACE | {"name": "overhead", "trials": trials, "evaluation": evaluation}
    (folder / "space.yaml").write_text(json.dumps(space))  # YAML holds JSON
    command = [str(Path(sys.executable).with_name("dss-ray")), "sweep", "space.yaml", "--json"]
    driver = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    memory, times = dict[int, float](), dict[int, float]()
    while driver.poll() is None:
        count = len(rows(folder))
        if count not in times:
            times[count], memory[count] = time.monotonic(), megabytes(driver.pid)
        time.sleep(0.2)
    if driver.returncode:
        raise SystemExit("the sweep failed; is the folder empty?")
    found = rows(folder)
    done = [row for row in found if not row["final"]]
    first = min(count for count in times if count >= WARM * trials)
    last = max(count for count in times if count <= len(done))
    workers = len(os.sched_getaffinity(0))
    spent = sum(row["worker_seconds"] for row in done[first:last])
    wall = times[last] - times[first]
    return {
        "trials": last - first,
        "seconds of a trial": spent / (last - first),
        "overhead per trial": (wall * workers - spent) / (last - first),
        "driver before, MB": memory[first],
        "driver after, MB": memory[last],
        "network's share": sum(row["network_seconds"] for row in done[first:last])
        / (wall * workers),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--samples", type=int, default=64)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, value in measure(options.folder, options.trials, options.samples).items():
        print(f"{name:22} {value:10.3f}")


if __name__ == "__main__":
    main()
