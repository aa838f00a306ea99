import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).parent / "dss-ray")
HEAVY = ("torch", "ray", "mlflow", "optuna", "numpy", "pandas", "matplotlib", "sklearn", "pydantic")


def test_help_lists_the_commands_and_the_version_names_the_package():
    shown = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(f"\n  {name} " in shown for name in ("sweep", "search", "evaluate", "export", "ui"))
    version = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("dss_ray ")


def test_help_imports_nothing_heavy():
    code = f"import sys, dss_ray.cli.app; print([n for n in {HEAVY} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_json_is_all_that_standard_output_gets(tmp_path):
    noisy = tmp_path / "noisy.py"
    noisy.write_text(
        "print('imported')\nfrom dss_ray.models.gaussian import plane\n"
        "def build():\n    print('built')\n    return plane()\n"
    )
    command = [PROGRAM, "search", "noisy:build", "--nfe=3", "--grid=uniform", "--json"]
    environment = os.environ | {"DSS_RAY_CACHE": str(tmp_path / "cache")}
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("{") and ended.stdout.endswith("}\n")
    assert "built" in ended.stderr


SLOW = """
import pathlib, time
def build():
    pathlib.Path("begun").touch()
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_with_130_and_no_traceback(tmp_path, number):
    slow = tmp_path / "slow.py"
    slow.write_text(SLOW)
    process = subprocess.Popen(
        [PROGRAM, "search", "slow:build", "--nfe=3"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "begun").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert error == "dss-ray: interrupted\n"


def searching(folder: Path, name: str) -> list[str]:
    """A search of some seconds that writes ``name``."""
    chain = ["--method=least-squares+gradient", "--set=iterations=600", "--set=ema=0.9"]
    return [PROGRAM, "search", "gaussian-mixture", "--nfe=5", *chain, f"--out={folder / name}"]


@pytest.mark.slow
def test_an_interrupted_search_goes_on_to_the_same_bits(tmp_path):
    def environment(cache: str) -> dict[str, str]:
        return os.environ | {"DSS_RAY_CACHE": str(tmp_path / cache)}

    def table(name: str) -> object:
        return json.loads((tmp_path / name).read_text())["table"]

    whole = searching(tmp_path, "whole.json")
    subprocess.run(whole, env=environment("one"), capture_output=True, check=True)
    command, other = searching(tmp_path, "cut.json"), environment("two")
    process = subprocess.Popen(command, env=other, stderr=subprocess.PIPE, text=True)
    while not any((tmp_path / "two").glob("search-*.safetensors")) and process.poll() is None:
        time.sleep(0.02)
    time.sleep(2.5)  # some iterations into the descent
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "cut.json").exists()
    subprocess.run(command, env=other, capture_output=True, check=True)
    assert table("cut.json") == table("whole.json")
    assert not any((tmp_path / "two").glob("search-*.safetensors"))
