"""A cluster that Ray's launcher brings up over ssh, on which a sweep is then launched."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAMS = ("ssh", "rsync", "unshare", "ssh-keygen")
SSHD = Path("/usr/sbin/sshd")
pytestmark = pytest.mark.slow
HOST = "127.0.0.9"
CLUSTER = """
cluster_name: dss-ray-test-{number}
provider: {{type: local, head_ip: {host}, worker_ips: []}}
auth: {{ssh_user: root, ssh_private_key: {folder}/key}}
setup_commands: []
head_start_ray_commands:
  - {programs}/ray stop
  - >-
    export PATH={programs}:$PATH RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={token}
    RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1 &&
    ray start --head --port={port} --num-cpus=1 --temp-dir {folder}/head
    --dashboard-agent-listen-port=0
worker_start_ray_commands: []
"""
SPACE = """
models: [digits-sit]
sampler: grid
search: {nfe: {choice: [3, 4]}, method: least-squares, grid: uniform, samples: 16}
evaluation: {samples: 250, final_samples: 250, final_seeds: [0, 1]}
baselines: {methods: [ab2], grids: [uniform], samples: 8, keep: 1}
"""


@pytest.fixture
def ssh_server(cluster):
    """Lets this user in; what it starts sees no process but its own, for `ray stop` ends them."""
    folder = cluster.folder
    for name in ("key", "host"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    lines = [f"ListenAddress {HOST}:22", f"HostKey {folder}/host", "StrictModes no"]
    lines += [f"AuthorizedKeysFile {folder}/key.pub", "UsePAM no", "PidFile none"]
    (folder / "sshd").write_text("\n".join([*lines, "PermitRootLogin prohibit-password", ""]))
    Path("/run/sshd").mkdir(exist_ok=True)
    apart = ["unshare", "-p", "-f", "--kill-child", "--mount-proc"]
    command = [*apart, str(SSHD), "-D", "-e", "-f", str(folder / "sshd")]
    with (folder / "sshd.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    time.sleep(1)
    assert server.poll() is None, (folder / "sshd.log").read_text()
    yield folder
    server.send_signal(signal.SIGKILL)
    server.wait()


@pytest.mark.skipif(
    os.geteuid() != 0 or not SSHD.exists() or not all(map(shutil.which, PROGRAMS)),
    reason="needs root, sshd and rsync",
)
def test_a_cluster_file_is_brought_up_and_a_sweep_launched_on_it(cluster, ssh_server, tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE)
    text = CLUSTER.format(
        number=os.getpid(),
        host=HOST,
        folder=ssh_server,
        programs=Path(sys.executable).parent,
        token=cluster.token,
        port=cluster.port,
    )
    (tmp_path / "up.yaml").write_text(text)
    words = ["space.yaml", "--cluster", "up.yaml"]
    looked = cluster.run("doctor", *words, cwd=tmp_path)
    assert looked.returncode == 0, looked.stderr
    done = cluster.run(
        "launch", *words, "--folder", str(tmp_path / "shared"), "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["nfe"] for row in found["best"] if row["searched"]] == [3, 4]
    shown = cluster.run("leaderboard", "space", "--json", cwd=tmp_path)
    assert json.loads(shown.stdout) == found["best"]
    again = cluster.run("launch", *words, "--attach", "--folder", str(tmp_path / "shared"),
                        "--json", cwd=tmp_path)  # fmt: skip
    assert json.loads(again.stdout) == found, again.stderr


MISSPELT = """
cluster_name: a
provider: {type: local, head_ip: h, worker_ips: []}
auth: {ssh_user: a}
max_worker: 3
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (MISSPELT, "max_worker"),
        (MISSPELT.replace("max_worker", "#").replace("h,", "CHANGE_ME,"), "CHANGE_ME in line 3"),
        ("a: 1", "expected a file of Ray's launcher"),
        ("kind: RayJob", "kubectl create -f up.yaml"),
        ("kind: RayCluster", "kubectl apply -f up.yaml"),
        ("a: [", "cannot be read as a cluster file"),
    ],
)
def test_a_wrong_file_starts_nothing(cluster, tmp_path, text, reason):
    (tmp_path / "up.yaml").write_text(text)
    verbs = [["doctor"], ["launch", "digits"]] if text == MISSPELT else [["doctor"]]
    for verb in verbs:
        done = cluster.run(*verb, "--cluster", "up.yaml", cwd=tmp_path)
        assert done.returncode == 2
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
