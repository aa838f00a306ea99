"""All files in clusters/: one Ray, no secret, and no command that does not exist."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer

from dss_ray.cli.app import app

ROOT = Path(__file__).parents[2]
CLUSTERS = ROOT / "clusters"
FILES = sorted(path for path in CLUSTERS.iterdir() if path.is_file())
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
WORKER_PORTS = range(10002, 20000)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_ray_listens_outside_of_its_workers_ports(path):
    ports = re.findall(r"(?:--\w*-?\w*-?port=|:)(\d{4,5})\b", path.read_text())
    assert not [port for port in map(int, ports) if port in WORKER_PORTS]


def test_ray_and_python_are_the_same_everywhere():
    texts = {path.name: path.read_text() for path in FILES}
    images = [one for text in texts.values() for one in re.findall(r"rayproject/ray:(\S+)", text)]
    assert len(images) == 3
    assert set(images) == {f"{PINS['ray']}-py311"}
    named = [one for text in texts.values() for one in re.findall(r"rayVersion: (\S+)", text)]
    assert named == [PINS["ray"]] * 2
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    own = [one for text in texts.values() for one in re.findall(r"dss_ray:(\d[\w.]*)", text)]
    assert set(own) == {version}


SECRET = re.compile(
    r"""
    (?:password|passwd|token|secret|api_?key|access_?key|credentials?)  # what is called so
    [\w-]*["']?\s*[=:]\s*["']?(?P<value>[^\s"',;)\]}`]+)                # and has a value
    | ://[^\s/:@]+:(?P<inside>[^\s/@]+)@                                # user:password@host
    | (?P<known>AKIA[0-9A-Z]{16}|gh[ps]_\w{20,}|-----BEGIN[ ][A-Z ]*KEY) # well-known forms
    """,
    re.IGNORECASE | re.VERBOSE,
)
REFERENCES = re.compile(
    r"""
    \$.* | \$\{.* | `.*          # a variable, or what a command prints
    | true|false|token|disabled  # a switch
    | -|unused                   # what a command asks for and does not use
    | \{.*                       # a reference in YAML's braces
    | ~?/?[\w.~-]*/.*            # a path
    | dss-ray-[a-z]+             # the name of a secret
    | FILE
    """,
    re.VERBOSE,
)


def secrets(text: str) -> list[str]:
    """What stands where a secret would and is neither a reference nor a switch."""
    found = (next(filter(None, match.groups())) for match in SECRET.finditer(text))
    return [one for one in found if not REFERENCES.fullmatch(one)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_holds_a_secret(path):
    assert secrets(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "POSTGRES_PASSWORD: hunter2",
        "export PGPASSWORD='hunter2'",
        "RAY_AUTH_TOKEN=0f8fad5bd9cb469fa16570867728950e",
        "postgresql://dss_ray:hunter2@db/dss_ray",
        "ray start --head --redis-password=hunter2",
        "aws_secret_access_key: wJalrXUtnFEMI",
        "id: AKIAIOSFODNN7EXAMPLE",
        "stringData: {auth_token: abc}",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_a_secret_would_be_found(text):
    assert secrets(text)


def command_lines(path: Path) -> list[str]:
    """The command lines with dss-ray: indented or in backticks in Markdown, all in other files."""
    text = re.sub(r"\s*\\\n\s*", " ", path.read_text())
    if path.suffix == ".md":
        text = "\n".join(re.findall(r"^ {4,}.*$|(?<!`)`[^`]+`(?!`)", text, re.MULTILINE))
    found = re.findall(r"dss-ray ([a-z][^\n`'|;&]*)", text)
    return [re.sub(r"[^\x20-\x7e]|\s#.*", "", one).strip() for one in found]


def complaint(line: str) -> str:
    """What is wrong with the arguments of dss-ray; "" for nothing."""
    verb, *words = shlex.split(line)
    known = typer.main.get_command(app).commands
    if verb not in known:
        return f"no command {verb}"
    options = {option for one in known[verb].params for option in one.opts if option[0] == "-"}
    wrong = [word for word in words if re.match(r"--?[a-z]", word) and word not in options]
    return f"{verb} has no {', '.join(wrong)}" if wrong else ""


LINES = [(path.name, line) for path in FILES for line in command_lines(path)]


@pytest.mark.parametrize(("name", "line"), LINES, ids=[f"{name}: {line}" for name, line in LINES])
def test_every_dss_ray_command_exists_with_its_options(name, line):
    assert complaint(line) == ""


def test_readme_job_and_batch_file_give_such_commands():
    assert {"README.md", "kuberay-rayjob.yaml", "slurm.sbatch"} <= {name for name, _ in LINES}
    assert len(LINES) >= 15


@pytest.mark.parametrize("line", ["swep digits", "sweep digits --adress auto", "leaderboard -x a"])
def test_a_wrong_command_would_be_found(line):
    assert complaint(line)


def test_the_readme_leads_through_every_file():
    text = (CLUSTERS / "README.md").read_text()
    assert all(f"`{path.name}`" in text for path in FILES if path.name != "README.md")


def test_the_readmes_shell_is_shell():
    text = (CLUSTERS / "README.md").read_text()
    blocks = re.findall(r"(?:^ {4,}\S.*\n|(?<=\n)\n(?= {4}\S))+", text, re.MULTILINE)
    assert len(blocks) >= 20
    for block in blocks:
        lines = [line.strip() for line in block.splitlines()]
        subprocess.run(["bash", "-n", "-c", "\n".join(lines)], check=True)
