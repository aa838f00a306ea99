"""The batch file for Slurm: what it would run, and what it refuses to start."""

import os
import re
import subprocess
from pathlib import Path

import pytest

CLUSTERS = Path(__file__).parents[2] / "clusters"


def stub(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


def run_batch(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run slurm.sbatch where srun, scontrol, ray and dss-ray only say what they were asked."""
    log = folder / "log"
    says = f'printf "%s\\x1f" "${{0##*/}}" "$@" >> {log}; printf "\\x1e" >> {log}'
    stub(folder / "bin/ray", says + '\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    stub(folder / "bin/srun", says + '\nwhile [[ "$1" == -* ]]; do shift; done; exec "$@"')
    stub(folder / "bin/scontrol", says + "\necho node1; echo node2")
    stub(folder / "bin/hostname", 'echo "10.1.2.3 172.17.0.1 "')
    stub(folder / "bin/dss-ray", says + '\n[ "$1" != "$FAILS" ]')
    (folder / "env/bin").mkdir(parents=True)
    (folder / "env/bin/activate").write_text("")
    (folder / ".ray").mkdir()
    (folder / ".ray/auth_token").write_text("x")
    variables = {
        "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
        "HOME": str(folder),
        "DSS_RAY_ENV": str(folder / "env"),
        "DSS_RAY_STORAGE": "postgresql://u@h/d",
        "MLFLOW_TRACKING_URI": "http://h",
        "SLURM_JOB_ID": f"test{os.getpid()}",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "16",
        "FAILS": "nothing",
    }
    variables = {key: one for key, one in (variables | environment).items() if one}
    return subprocess.run(
        ["bash", str(CLUSTERS / "slurm.sbatch"), *arguments],
        env=variables,
        capture_output=True,
        text=True,
    )


def asked(folder: Path, program: str) -> list[list[str]]:
    calls = [call.split("\x1f")[:-1] for call in (folder / "log").read_text().split("\x1e")[:-1]]
    return [words[1:] for words in calls if words[0] == program]


def test_slurm_runs_one_ray_node_on_each_of_its_nodes():
    text = (CLUSTERS / "slurm.sbatch").read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(\S*)$", text, re.MULTILINE))
    assert text.startswith("#!")
    assert len(re.findall(r"^#SBATCH", text, re.MULTILINE)) == len(options)
    assert options["ntasks-per-node"] == "1"
    assert options["exclusive"] == ""
    assert int(options["nodes"]) >= 2
    assert int(options["cpus-per-task"]) >= 1
    assert re.fullmatch(r"\d\d:\d\d:\d\d", options["time"])
    first = next(n for n, line in enumerate(text.splitlines()) if line and line[0] != "#")
    assert not [line for line in text.splitlines()[first:] if line.startswith("#SBATCH")]


def test_slurm_starts_ray_by_its_own_command_at_the_first_nodes_address(tmp_path):
    done = run_batch(tmp_path, "digits", "--trials", "64", SLURM_GPUS_ON_NODE="4")
    assert done.returncode == 0, done.stderr
    assert asked(tmp_path, "scontrol") == [["show", "hostnames", "node[1-2]"]]
    ((command, *words),) = asked(tmp_path, "ray")
    assert command == "symmetric-run"
    options = words[: words.index("--")]
    assert options[:4] == ["--address", "10.1.2.3:6379", "--min-nodes", "2"]
    symmetric = pytest.importorskip("ray.scripts.symmetric_run", reason="Ray has moved it")
    start = symmetric.curate_and_validate_ray_start_args(options)
    from ray.scripts.scripts import start as ray_start

    parsed = ray_start.make_context("start", start).params
    assert (parsed["num_cpus"], parsed["num_gpus"]) == (16, 4)


def test_slurm_lets_the_doctor_look_and_then_sweeps(tmp_path):
    assert run_batch(tmp_path, "digits", "--trials", "64").returncode == 0
    address = ["--address", "10.1.2.3:6379"]
    sweep = ["sweep", "digits", "--trials", "64", *address]
    assert asked(tmp_path, "dss-ray") == [["doctor", "digits", *address], sweep]
    assert (tmp_path / "dss_ray").is_dir()
    assert not Path(f"/tmp/dss_ray_test{os.getpid()}").exists()


@pytest.mark.parametrize(("fails", "verbs"), [("doctor", 1), ("sweep", 2)])
def test_slurm_hands_a_failure_on(fails, verbs, tmp_path):
    assert run_batch(tmp_path, FAILS=fails).returncode != 0
    assert len(asked(tmp_path, "dss-ray")) == verbs


@pytest.mark.parametrize("absent", ["DSS_RAY_STORAGE", "MLFLOW_TRACKING_URI"])
def test_slurm_refuses_to_start_without_databases(absent, tmp_path):
    done = run_batch(tmp_path, **{absent: ""})
    assert done.returncode != 0
    assert absent in done.stderr
    assert not (tmp_path / "log").exists()


def test_slurm_refuses_to_start_without_a_token(tmp_path):
    done = run_batch(tmp_path, RAY_AUTH_TOKEN_PATH=str(tmp_path / "none"))
    assert done.returncode == 2
    assert "ray get-auth-token --generate" in done.stderr
