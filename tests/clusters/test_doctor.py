"""What is wrong with a cluster is found before anything starts, one line each."""

import json
import re

import pytest


def lines(done) -> dict[str, str]:
    """What the doctor found bad, by what it looked at; nothing else may have been said."""
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    assert done.returncode == (0 if all(line["good"] for line in found) else 2)
    return {line["what"]: f"{line['found']} {line['remedy']}" for line in found if not line["good"]}


def test_this_machine_is_well(tmp_path, cluster):
    assert lines(cluster.run("doctor", "digits", "--json", cwd=tmp_path)) == {}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--address", "127.0.0.1:9"], "127.0.0.1:9: nobody answers there"),
        (["--address", "http://127.0.0.1:9"], "no job server answers there"),
        (["--address", "a:1", "--cluster", "x.yaml"], "either --address or --cluster"),
        (["--cluster", "absent.yaml"], "cannot be read as a cluster file"),
        (["--folder", "/proc/nowhere"], "/proc/nowhere: No such file"),
        (["nothing"], "unknown search space 'nothing'"),
    ],
)
def test_a_wrong_word_is_named(cluster, tmp_path, options, reason):
    done = cluster.run("doctor", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert reason in done.stdout + done.stderr


@pytest.mark.parametrize("missing", ["--cluster", "both"])
def test_launch_wants_one_cluster(cluster, tmp_path, missing):
    more = ["--cluster", "x.yaml", "--address", "http://a"] if missing == "both" else []
    done = cluster.run("launch", "digits", *more, cwd=tmp_path)
    assert done.returncode == 2
    assert "give either --cluster FILE or --address" in done.stderr


@pytest.mark.slow
def test_a_cluster_tells_what_ails_it(cluster, tmp_path, postgres):
    """Two machines, one of which lacks the package or sees another folder."""
    cluster.head(PGPASSWORD="s3cr3t/w:rd")
    cluster.add("127.0.0.2")
    asked = ["doctor", "--json", "--folder", str(tmp_path / "shared")]
    inside = [*asked, "--address", cluster.address]
    outside = [*asked, "--address", cluster.jobs]
    for words in (inside, outside):
        found = lines(cluster.run(*words, cwd=tmp_path))
        assert list(found) == ["stores"]
        assert "2 machines" in found["stores"]
        assert "DSS_RAY_STORAGE" in found["stores"]
    nobody = f"postgresql://nobody@127.0.0.1:{postgres.port}/postgres"
    stores = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "DSS_RAY_STORAGE": nobody}
    found = lines(cluster.run(*outside, cwd=tmp_path, **stores))
    assert set(found) == {"studies", "MLflow"}
    assert "nobody" in found["studies"] or "127.0.0.1" in found["studies"]
    assert "s3cr3t" not in str(found)
    large = tmp_path / "large.yaml"
    large.write_text(SPACE)
    found = lines(cluster.run("doctor", "large.yaml", *inside[1:], cwd=tmp_path))
    assert re.search(r"asks for 64 CPU .*the most are 1 CPU", found["resources"])
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)
    for words, said in ((inside, "RAY_AUTH_TOKEN_PATH"), (outside, "Invalid authentication token")):
        done = cluster.run(*words, cwd=tmp_path, RAY_AUTH_TOKEN_PATH=str(wrong))
        assert done.returncode == 2
        assert said in done.stdout + done.stderr
    cluster.kill("127.0.0.2")
    blind = tmp_path / "blind"
    blind.mkdir()
    (blind / "sitecustomize.py").write_text(BLIND)
    apart = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"']
    through = [*apart, str(tmp_path / "shared")]
    cluster.add("127.0.0.3", through=through, PYTHONPATH=str(blind))
    found = lines(cluster.run(*inside, cwd=tmp_path))
    assert set(found) == {"stores", "code", "folder"}
    assert "none on 127.0.0.3" in found["code"]
    assert "127.0.0.3: it is not the driver's folder" in found["folder"]


BLIND = """
from importlib import util

find_spec = util.find_spec
util.find_spec = lambda name, package=None: None if name == "dss_ray" else find_spec(name, package)
"""
SPACE = """
models: [digits-sit]
resources: {cpus: 64}
search: {nfe: {choice: [3, 4]}}
baselines: {methods: [ab2], grids: [uniform]}
"""
