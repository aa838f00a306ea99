"""How long ``dss-ray --help`` takes (budget 0.5 s); ``python tests/benchmarks/cli_startup.py``."""

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 15
HEAVY = ("torch", "ray", "mlflow", "optuna", "numpy", "pandas", "matplotlib", "sklearn", "pydantic")


def seconds(command: list[str]) -> float:
    """Wall seconds of one run."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def report(name: str, command: list[str]) -> None:
    """Print the least, the median and the largest of several runs after one that warms up."""
    seconds(command)
    taken = [seconds(command) for _ in range(RUNS)]
    figures = f"{min(taken):.2f} {statistics.median(taken):.2f} {max(taken):.2f}"
    sys.stdout.write(f"{name}: least, median, largest of {RUNS} runs: {figures} s\n")


if __name__ == "__main__":
    beside = Path(sys.executable).parent / "dss-ray"
    program = str(beside) if beside.exists() else str(shutil.which("dss-ray"))
    report("python -c pass", [sys.executable, "-c", "pass"])
    report("dss-ray --help", [program, "--help"])
    report("dss-ray --version", [program, "--version"])
    code = f"import sys, dss_ray.cli.app; print([n for n in {HEAVY} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    sys.stdout.write(f"heavy modules imported: {found.stdout.strip()}\n")
