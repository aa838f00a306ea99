"""A head that dies and starts again on an external Redis: its nodes wait, and the sweep goes on."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
NODE = "127.0.0.2"
APART = ("unshare", "-p", "-f", "--mount-proc", "--kill-child")  # as on a machine of its own
SPACE = """
models: ["slow:Slow"]
sampler: grid
trials: 1000
search:
  nfe: {choice: [3, 4]}
  method: least-squares
  grid: {choice: [uniform, cosine, "power:1:1.2"]}
  samples: {choice: [32, 24]}
evaluation: {samples: 500, final_samples: 500, final_seeds: [0, 1]}
baselines: {methods: [ab2], grids: [uniform], samples: 8, keep: 1}
"""
POINTS = 12


@pytest.mark.skipif(os.geteuid() != 0, reason="a process space of one's own needs the right to it")
def test_a_sweep_goes_on_after_the_head_of_its_cluster_has_started_again(
    cluster, redis, postgres, free_port, mlflow_server, slow_model, last_rows, tmp_path
):
    outside = {"RAY_REDIS_ADDRESS": redis, "RAY_external_storage_namespace": "restart"}
    outside["PGPASSWORD"] = "s3cr3t/w:rd"
    patience = {"RAY_gcs_rpc_server_reconnect_timeout_s": "600"}  # Ray's own minute may be short
    (tmp_path / "space.yaml").write_text(SPACE)
    slow_model(tmp_path)
    shared = tmp_path / "shared"
    words = ["launch", "space.yaml", "--address", cluster.jobs, "--folder", str(shared)]
    with mlflow_server(tmp_path, free_port, f"sqlite:///{tmp_path}/mlflow.db") as tracker:
        address = postgres.url.rpartition("@")[2]
        stores = {"DSS_RAY_STORAGE": f"postgresql://owner@{address}"}
        stores["MLFLOW_TRACKING_URI"] = tracker
        cluster.head(through=APART, **outside)
        cluster.add(NODE, **patience)
        identity = cluster.living()[NODE]
        with (tmp_path / "err").open("w") as err:
            launch = subprocess.Popen(
                [str(Path(sys.executable).with_name("dss-ray")), *words],
                cwd=tmp_path, env=cluster.environment(**stores), stdout=err, stderr=err,
            )  # fmt: skip
        while written(shared) < 4:
            assert launch.poll() is None, (tmp_path / "err").read_text()
            time.sleep(0.2)
        cluster.kill("127.0.0.1")
        cluster.head(through=APART, **outside)
        cluster.until(NODE)
        assert cluster.living()[NODE] == identity
        assert launch.wait(300) == 1, (tmp_path / "err").read_text()
        assert written(shared) < POINTS
        done = cluster.run(*words, "--resume", cwd=tmp_path, **stores)
    assert done.returncode == 0, done.stderr
    found = [row for row in last_rows(tmp_path).values() if row["searched"]]
    assert [row["status"] for row in found] == ["done"] * POINTS


def written(folder: Path) -> int:
    """Lines of the record."""
    path = folder / "runs/space/rows.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0
