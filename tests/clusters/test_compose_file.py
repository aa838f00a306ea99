"""The file for Docker Compose: services that wait for each other and keep their passwords out."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

SCHEMAS = Path(__file__).with_name("schemas")
ROOT = Path(__file__).parents[2]


def document(name: str) -> Any:
    return yaml.safe_load((ROOT / "clusters" / f"{name}.yaml").read_text())


def check_compose(config: Any) -> None:
    schema = json.loads((SCHEMAS / "compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(config)


def test_compose_takes_the_file():
    check_compose(document("compose"))


@pytest.mark.parametrize("place", [[], ["services", "head"], ["services", "head", "healthcheck"]])
def test_a_misspelt_key_of_compose_is_found(place):
    config = document("compose")
    part = config
    for key in place:
        part = part[key]
    part["restrat"] = "always"
    with pytest.raises(jsonschema.ValidationError):
        check_compose(config)


def test_services_wait_for_healthy_ones():
    services = document("compose")["services"]
    assert set(services) == {"postgres", "mlflow", "head"}
    assert all("test" in service["healthcheck"] for service in services.values())
    healthy = {"condition": "service_healthy"}
    assert services["mlflow"]["depends_on"] == {"postgres": healthy}
    assert services["head"]["depends_on"] == {"postgres": healthy, "mlflow": healthy}


def test_passwords_of_services_are_variables_that_have_to_be_set():
    text = (ROOT / "clusters/compose.yaml").read_text()
    named = re.findall(r"^ +(\w*(?:PASSWORD|TOKEN)): (.*)$", text, re.MULTILINE)
    assert {key for key, _ in named} == {"POSTGRES_PASSWORD", "PGPASSWORD", "RAY_AUTH_TOKEN"}
    assert all(re.fullmatch(r"\$\{(POSTGRES_PASSWORD|RAY_AUTH_TOKEN):\?.+\}", v) for _, v in named)


def test_services_are_published_to_this_machine_alone():
    services = document("compose")["services"]
    ports = [port for service in services.values() for port in service["ports"]]
    assert len(ports) == 3
    assert all(port.startswith(("127.0.0.1:", "${BIND:-127.0.0.1}:")) for port in ports)


def test_mlflow_keeps_records_in_the_database_and_artifacts_on_a_volume():
    config = document("compose")
    service = config["services"]["mlflow"]
    (store,) = [one for one in service["command"] if one.startswith("--backend-store-uri=")]
    assert store.endswith("@postgres/mlflow")
    assert "mlflow" in config["configs"]["mlflow_database"]["content"]
    assert "--serve-artifacts" in service["command"]
    (place,) = [one for one in service["command"] if one.startswith("--artifacts-destination=")]
    assert service["volumes"] == [f"artifacts:{place.partition('=')[2]}"]
    assert "artifacts" in config["volumes"]


def test_mlflow_and_ray_know_the_options_that_services_give_them():
    mlflow = pytest.importorskip("mlflow.cli")
    from ray.scripts.scripts import start

    services = document("compose")["services"]
    for command, words in ((mlflow.server, services["mlflow"]), (start, services["head"])):
        given = [word.partition("=")[0] for word in words["command"] if word.startswith("--")]
        known = {option for one in command.params for option in one.opts}
        assert set(given) <= known


def test_the_image_is_built_from_files_that_exist():
    text = document("compose")["x-image"]["build"]["dockerfile_inline"]
    copied = [line.split()[2:-1] for line in text.splitlines() if line.startswith("COPY")]
    sources = [source for line in copied for source in line]
    assert set(sources) >= {"pyproject.toml", "constraints.txt", "dss_ray", "search_spaces"}
    assert all((ROOT / source).exists() for source in sources)
    assert "pip install --no-cache-dir -c constraints.txt '.[cluster,postgresql]'" in text


def test_health_checks_in_python_run():
    test = document("compose")["services"]["mlflow"]["healthcheck"]["test"]
    assert test[:3] == ["CMD", "python", "-c"]
    with pytest.raises(subprocess.CalledProcessError):
        unreachable = "http://127.0.0.1:1/health"
        command = [sys.executable, *test[2:4], unreachable]
        subprocess.run(command, check=True, capture_output=True)
