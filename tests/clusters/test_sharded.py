"""The same figures to the last bit on one node and on four, and after a worker was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
EVALUATE = ["evaluate", "ab2", "--nfe", "4", "--model", "digits-sit", "--samples", "6100"]
EVALUATE += ["--seeds", "0,1", "--metrics", "fid,sfid,precision,rmse", "--json"]


def workers(cluster) -> list[int]:
    """The processes that evaluate chunks."""
    own, found = f"RAY_AUTH_TOKEN_PATH={cluster.token}".encode(), list[int]()
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            named = (place / "cmdline").read_bytes().startswith(b"ray::run_chunks")
            if named and own in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


def test_one_two_and_four_nodes_give_the_same_bits_whatever_is_killed(cluster, tmp_path):
    alone = cluster.run(*EVALUATE, cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    cluster.head()
    for more in ((), ("127.0.0.2",), ("127.0.0.3", "127.0.0.4")):
        for host in more:
            cluster.add(host)
        found = cluster.run(*EVALUATE, "--address", cluster.address, cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout) == json.loads(alone.stdout)
    command = [str(Path(sys.executable).with_name("dss-ray")), *EVALUATE]
    with (tmp_path / "err").open("w") as err:
        running = subprocess.Popen(
            [*command, "--address", cluster.address], cwd=tmp_path, env=cluster.environment(),
            stdout=subprocess.PIPE, stderr=err, text=True,
        )  # fmt: skip
    killed = 0
    while running.poll() is None and killed < 3:
        for worker in workers(cluster)[:1]:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
                killed += 1
        time.sleep(4)
    assert killed == 3
    cluster.kill("127.0.0.4")
    out, _ = running.communicate(timeout=600)
    assert running.returncode == 0, (tmp_path / "err").read_text()
    assert json.loads(out) == json.loads(alone.stdout)
