"""The commands of README, pages and --help are commands, with options that there are."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from dss_ray.cli.app import COMMANDS, app
from dss_ray.cli.examples import EXAMPLES

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
KNOWN = typer.main.get_command(app).commands


def commands() -> list[str]:
    """The lines with dss-ray in all shell blocks, and all examples."""
    found = [
        line.partition(" && ")[2] if " && " in line else line
        for page in TEXTS
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.splitlines()
    ]
    lines = [line for line in found if line.startswith("dss-ray ")]
    return lines + [line for own in EXAMPLES.values() for line in own]


@pytest.mark.parametrize("line", dict.fromkeys(commands()))
def test_a_command_of_the_documentation_is_understood(line: str) -> None:
    name, *words = shlex.split(line, comments=True)[1:]
    assert KNOWN[name].make_context(name, words)


@pytest.mark.parametrize("line", ["sweep digits --adress auto", "search digits-sit", "sweep"])
def test_a_wrong_one_would_be_found(line: str) -> None:
    name, *words = line.split()
    with pytest.raises(typer.TyperException):
        KNOWN[name].make_context(name, words)


def test_every_command_has_examples_and_nothing_else_has() -> None:
    assert set(EXAMPLES) == {command.__name__ for command in COMMANDS}
    assert all(line.startswith(f"dss-ray {name}") for name, own in EXAMPLES.items() for line in own)
