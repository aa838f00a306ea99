"""Files for KubeRay: Kubernetes takes them, and a sweep finds its storage, secrets and lock."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource

CLUSTERS, SCHEMAS = Path(__file__).parents[2] / "clusters", Path(__file__).with_name("schemas")
KUBERAY = ["kuberay-raycluster", "kuberay-rayjob"]


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((CLUSTERS / f"{name}.yaml").read_text()))


def document(name: str) -> Any:
    return documents(name)[0]


def entries(part: Any) -> Iterator[tuple[str, Any]]:
    """All keys below with their values."""
    if isinstance(part, dict):
        yield from part.items()
    if isinstance(part, dict | list):
        for one in part.values() if isinstance(part, dict) else part:
            yield from entries(one)


@cache
def registry() -> Registry:
    kuberay = yaml.safe_load((SCHEMAS / "kuberay.yaml").read_text())
    kubernetes = json.loads((SCHEMAS / "kubernetes.json").read_text())
    pairs = {"kuberay.yaml": kuberay, "kubernetes.json": kubernetes}.items()
    return Registry().with_resources((name, Resource.from_contents(one)) for name, one in pairs)


def check_kubernetes(one: Any) -> None:
    schema = {"$ref": f"kuberay.yaml#/$defs/{one['kind']}"}
    jsonschema.Draft202012Validator(schema, registry=registry()).validate(one)


def stub(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


def cluster_spec(name: str) -> Any:
    spec = next(one for one in documents(name) if one["kind"].startswith("Ray"))["spec"]
    return spec.get("rayClusterSpec", spec)


def pods(name: str) -> list[Any]:
    spec = cluster_spec(name)
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


@pytest.mark.parametrize("name", KUBERAY)
def test_kubernetes_takes_a_kuberay_file(name):
    kinds = [one["kind"] for one in documents(name)]
    assert kinds[-1] == {"kuberay-raycluster": "RayCluster", "kuberay-rayjob": "RayJob"}[name]
    for one in documents(name):
        check_kubernetes(one)


@pytest.mark.parametrize("name", KUBERAY)
@pytest.mark.parametrize(
    "place",
    [
        ["spec"],
        ["spec", "authOptions"],
        ["spec", "workerGroupSpecs", 0],
        ["spec", "headGroupSpec", "template", "spec"],
        ["spec", "headGroupSpec", "template", "spec", "containers", 0, "env", 0],
        ["spec", "workerGroupSpecs", 0, "template", "spec", "containers", 0, "resources"],
    ],
    ids=lambda place: ".".join(map(str, place)),
)
def test_a_misspelt_key_of_kubernetes_is_found(name, place):
    one = next(one for one in documents(name) if one["kind"].startswith("Ray"))
    part = one
    for key in place if name == "kuberay-raycluster" else ["spec", "rayClusterSpec", *place[1:]]:
        part = part[key]
    part["replicsa"] = 1
    with pytest.raises(jsonschema.ValidationError, match="replicsa"):
        check_kubernetes(one)


@pytest.mark.parametrize("change", [{"backoffLimit": "0"}, {"entrypoint": 1}, {"retries": 2}])
def test_a_wrong_value_of_a_job_is_found(change):
    one = document("kuberay-rayjob")
    one["spec"] |= change
    with pytest.raises(jsonschema.ValidationError):
        check_kubernetes(one)


def test_a_job_is_not_tried_again_by_kubernetes_and_resumes_by_itself():
    spec = document("kuberay-rayjob")["spec"]
    assert spec["backoffLimit"] == 0
    assert "--resume" in spec["entrypoint"]


@pytest.mark.parametrize("there", [True, False])
def test_a_jobs_line_survives_its_way_through_two_shells(there, tmp_path):
    line = document("kuberay-rayjob")["spec"]["entrypoint"]
    line = line.replace("/home/ray/dss_ray", str(tmp_path))
    if there:
        (tmp_path / "runs/digits").mkdir(parents=True)
        (tmp_path / "runs/digits/manifest.json").touch()
    words = shlex.split(line)  # KubeRay pastes it into a shell, whose words Ray puts together again
    stub(tmp_path / "bin" / "dss-ray", 'echo "$PWD: $*"')
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        subprocess.list2cmdline(words), shell=True, env={"PATH": path}, capture_output=True
    )
    sweep = "sweep digits --address auto" + (" --resume" if there else "")
    expected = [f"{tmp_path}: doctor digits --address auto", f"{tmp_path}: {sweep}"]
    assert done.stdout.decode().splitlines() == expected


@pytest.mark.parametrize("name", KUBERAY)
def test_pods_share_one_claim_and_only_the_head_knows_the_databases(name):
    head, *workers = pods(name)
    (claim,) = [d for d in documents("kuberay-raycluster") if d["kind"] == "PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in [head, *workers]:
        volume = pod["volumes"][0]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        (container,) = pod["containers"]
        mount = {"name": volume["name"], "mountPath": "/home/ray/dss_ray"}
        assert container["volumeMounts"] == [mount]
    assert head["containers"][0]["envFrom"] == [{"secretRef": {"name": "dss-ray-databases"}}]
    assert not [one for one in workers if "envFrom" in one["containers"][0]]


@pytest.mark.parametrize("name", KUBERAY)
def test_the_readme_makes_the_secrets_that_kubernetes_is_told_of(name):
    text = (CLUSTERS / "README.md").read_text()
    named = {value for key, value in entries(cluster_spec(name)) if key == "secretName"}
    named |= {v["name"] for key, v in entries(cluster_spec(name)) if key == "secretRef"}
    assert named == {"dss-ray-token", "dss-ray-databases"}
    assert all(f"kubectl create secret generic {one} " in text for one in named)
