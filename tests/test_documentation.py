"""Every command of README, pages and --help runs, one after the other in an empty folder."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dss_ray.cli.app import COMMANDS, app
from dss_ray.cli.examples import EXAMPLES

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FEW = "--set evaluation.samples=250 --set evaluation.final_samples=250"
ONE_BASELINE = "baselines.methods=[ab2]"
SHORTER = {  # what takes long, at a size that a test can wait for; the last of an option counts
    "sweep digits$": f"sweep digits --trials 2 {FEW} --set search.nfe=3 --set {ONE_BASELINE}",
    "export digits --nfe 6": "export digits --nfe 3",
    "(--models digits-sit,digits-dit,digits-flowdcn).*": r"\1 --nfe 3 --name all",
    "^dss-ray search .*": r"\g<0> --samples 64",
    "^dss-ray transfer .*": r"\g<0> --samples 64 --method least-squares",
    "^dss-ray evaluate .*": r"\g<0> --samples 250",
}
ELSEWHERE = {  # what needs more than a machine, and the tests that run it for real
    "http://HEAD:8265": "tests/clusters/test_launch.py",
    "--address auto": "tests/clusters/test_sharded.py",
    "--cluster ": "tests/clusters/test_up.py",
    "--pipeline FOLDER": "tests/cli/test_export_diffusers.py",
    "python -m pytest": ".ci/run",
    ".ci/run": ".ci/run",
}
ABSENT = "/path/to/"  # in what needs files that no package carries
SERVING = ("dss-ray ui",)


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def shell_lines() -> list[str]:
    """The lines of all shell blocks and of all examples, in the order of reading."""
    found = [
        re.sub(r"\s+#.*", "", line).strip()
        for page in TEXTS
        for block in blocks(page.read_text(), "bash")
        for line in block.splitlines()
    ]
    return [line for line in found if line] + [line for own in EXAMPLES.values() for line in own]


LINES = list(dict.fromkeys(shell_lines()))
HERE = [line for line in LINES if not any(part in line for part in ELSEWHERE)]
COMMAND = typer.main.get_command(app)


def environment() -> dict[str, str]:
    """Of a user who has just installed the package."""
    own = os.environ | {"OMP_NUM_THREADS": "1"}
    own["PATH"] = f"{Path(sys.executable).parent}:{own['PATH']}"
    return own | {"MLFLOW_DISABLE_TELEMETRY": "true"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README says to write: a model, an objective, a space."""
    folder, page = tmp_path_factory.mktemp("reader"), TEXTS[0].read_text()
    for text in blocks(page, "python"):
        if name := re.match(r"# (my_\w+\.py)\n", text):
            (folder / name[1]).write_text(text)
    space = next(text for text in blocks(page, "yaml") if "models: [digits-sit]" in text)
    few = "evaluation: {samples: 250, final_samples: 250, final_seeds: [1, 2]}\n"
    (folder / "my_space.yaml").write_text(space + few)
    (folder / "pictures").mkdir()
    code = (
        "from sklearn.datasets import load_digits; from PIL import Image\n"
        "for i, image in enumerate(load_digits().images[:300]):\n"
        "    Image.fromarray((image * 15.9).astype('uint8')).save(f'pictures/{i}.png')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return folder


def shortened(line: str) -> str:
    """The line at the size of a test."""
    line = line.removeprefix(". .ci/env && ")
    for part, instead in SHORTER.items():
        line = re.sub(part, instead, line)
    return line


@pytest.mark.slow
@pytest.mark.parametrize("line", HERE)
def test_a_command_of_the_documentation_runs(home: Path, line: str) -> None:
    if line.startswith(SERVING):
        serve(home, line)
        return
    done = subprocess.run(
        shortened(line), shell=True, cwd=home, env=environment(), capture_output=True, text=True,
        timeout=900, check=False,
    )  # fmt: skip
    if ABSENT in line and "--dry-run" not in line:
        assert done.returncode == 2, done.stderr
        assert ABSENT in done.stderr
    else:
        assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def serve(home: Path, line: str) -> None:
    """Start a server, wait until it says where it is, and end it as a user would."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line}"], cwd=home, env=environment(), stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stderr
    assert any("http://127.0.0.1" in said for said in process.stderr)
    os.killpg(process.pid, signal.SIGINT)
    process.stderr.read()
    assert process.wait(60) == 0


@pytest.mark.slow
def test_the_python_of_the_readme_runs(home: Path) -> None:
    block = next(
        text for text in blocks(TEXTS[0].read_text(), "python") if "dss_ray.search" in text
    )
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=home, env=environment(), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert 0 < float(done.stdout) < 0.1


def test_every_command_has_examples_and_nothing_else_has() -> None:
    assert set(EXAMPLES) == {command.__name__ for command in COMMANDS}
    assert all(line.startswith(f"dss-ray {name}") for name, own in EXAMPLES.items() for line in own)


def test_what_runs_elsewhere_does() -> None:
    assert all((ROOT / place).is_file() for place in ELSEWHERE.values())


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("dss-ray")])
def test_a_command_of_the_documentation_is_understood(line: str) -> None:
    name, *words = shlex.split(line)[1:]
    assert COMMAND.commands[name].make_context(name, words)


@pytest.mark.parametrize("line", ["sweep digits --adress auto", "search digits-sit", "sweep"])
def test_a_wrong_one_would_be_found(line: str) -> None:
    name, *words = line.split()
    with pytest.raises(typer.TyperException):
        COMMAND.commands[name].make_context(name, words)
