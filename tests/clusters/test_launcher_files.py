"""Files for Ray's launcher: Ray takes them, and nodes get the package and the token."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

LAUNCHER = ["local", "onprem", "aws", "gcp"]
CLOUDS = ["aws", "gcp"]
ROOT = Path(__file__).parents[2]


def document(name: str) -> Any:
    return yaml.safe_load((ROOT / "clusters" / f"{name}.yaml").read_text())


def check_launcher(config: Any) -> Any:
    util = pytest.importorskip("ray.autoscaler._private.util", reason="Ray has moved its check")
    prepared = util.prepare_config(config)
    util.validate_config(prepared)
    return prepared


@pytest.mark.parametrize("name", LAUNCHER)
def test_ray_takes_a_launcher_file(name):
    assert check_launcher(document(name))["head_start_ray_commands"]


@pytest.mark.parametrize("name", LAUNCHER)
@pytest.mark.parametrize("place", [(), ("auth",)])
def test_ray_finds_a_misspelt_key(name, place):
    config = document(name)
    part = config
    for key in place:
        part = part[key]
    part["idle_timeout_minuts"] = 5
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout_minuts"):
        check_launcher(config)


@pytest.mark.parametrize("name", CLOUDS)
def test_ray_finds_a_misspelt_key_of_a_kind_of_node(name):
    config = document(name)
    config["available_node_types"]["cpu"]["max_worker"] = 5
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        check_launcher(config)


@pytest.mark.parametrize("name", CLOUDS)
def test_clouds_scale_spot_workers_between_limits(name):
    config = check_launcher(document(name))
    kinds = dict(config["available_node_types"])
    head = kinds.pop(config["head_node_type"])
    assert "spot" not in str(head).lower()
    assert all("spot" in str(kind["node_config"]).lower() for kind in kinds.values())
    assert sum(kind["min_workers"] for kind in kinds.values()) == 1
    assert all(0 < kind["max_workers"] <= config["max_workers"] for kind in kinds.values())
    assert 0 < config["idle_timeout_minutes"] <= 30


def commands(config: Any) -> list[tuple[str, str]]:
    return [(key, one) for key, part in config.items() if key.endswith("_commands") for one in part]


@pytest.mark.parametrize("name", LAUNCHER)
def test_commands_are_shell(name):
    found = commands(document(name))
    assert len(found) >= 4
    for _, command in found:
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_the_shell_finds_what_is_no_command():
    assert subprocess.run(["bash", "-n", "-c", "test -x a ||"], capture_output=True).returncode


@pytest.mark.parametrize("name", LAUNCHER)
def test_nodes_install_the_package_with_its_extras_by_the_constraints(name):
    setup = [one for key, one in commands(document(name)) if key == "setup_commands"]
    install = next(shlex.split(one) for one in setup if "pip install" in one)
    extras = re.fullmatch(r"\.\[(.*)\]", install[-1]).group(1).split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras == ["cluster", "postgresql"]
    assert set(extras) <= set(project["optional-dependencies"])
    assert install[-3:-1] == ["-c", "constraints.txt"]


@pytest.mark.parametrize("name", LAUNCHER)
def test_nodes_get_all_that_building_the_package_takes(name):
    mounts = document(name)["file_mounts"]
    sent = {local: there for there, local in mounts.items() if not local.startswith("~")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", "constraints.txt", project["project"]["readme"], "search_spaces"}
    needed |= set(project["project"]["license-files"])
    needed |= {package.partition(".")[0] for package in project["tool"]["setuptools"]["packages"]}
    assert set(sent) == needed
    assert all((ROOT / local).exists() for local in sent)
    assert len({there.removesuffix(local) for local, there in sent.items()}) == 1


def docker_run_options(name: str) -> list[str]:
    return shlex.split(" ".join(document(name)["docker"]["run_options"]))


@pytest.mark.parametrize("name", LAUNCHER)
def test_every_node_asks_for_the_token(name):
    config = document(name)
    starts = [one for key, one in commands(config) if "start_ray" in key and "ray start" in one]
    assert starts
    assert "docker" in config or all("RAY_AUTH_MODE=token" in one for one in starts)
    assert "docker" not in config or "RAY_AUTH_MODE=token" in docker_run_options(name)
    if name != "local":  # where the token is already
        assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("name", LAUNCHER)
def test_only_the_heads_own_machine_reaches_its_job_server(name):
    starts = " ".join(one for _, one in commands(document(name)))
    assert "--dashboard-host" not in starts  # Ray's default is 127.0.0.1
