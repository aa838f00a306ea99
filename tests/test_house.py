"""The house: README, checks and package agree with each other."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def readme_commands() -> list[str]:
    """The commands of the README's shell blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def test_the_checks_run_the_readmes_test_command() -> None:
    command = next(line for line in readme_commands() if "pytest" in line)
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_dependency_is_pinned_once() -> None:
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    known = [pin.lower().replace("_", "-") for pin in pins]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    dev = [line for line in extras["dev"] if not line.startswith("dss_ray[")]
    asked = project["dependencies"] + dev + extras["train"] + extras["diffusers"]
    names = {re.split(r"[\[><=]", line)[0].lower() for line in asked}
    assert len(known) == len(set(known))
    assert names <= set(known)


def test_pictures_that_the_readme_shows_exist() -> None:
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert len(shown) >= 2
    assert all((ROOT / path).is_file() for path in shown)


def test_the_readme_shows_what_the_benchmark_of_searches_measured() -> None:
    command = [sys.executable, "tests/benchmarks/search_cost.py", "--overview"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tables = printed.strip().split("\n\n")
    assert len(tables) == 2
    assert all(table in (ROOT / "README.md").read_text() for table in tables)


def test_every_package_of_the_source_tree_ships() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "dss_ray").rglob("__init__.py")}
    assert all(f'"{".".join(folder.parts)}"' in text for folder in folders)
