"""The launch scripts: Slurm's under stub programs, and all of them say the same."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from installed import ROOT

from pdadmm_bench import __version__
from pdadmm_bench.cli.main import app

SCRIPT = ROOT / "runners/slurm/run.sbatch"
JOB = ROOT / "runners/kubernetes/job.yaml"
STUBS = {
    "scontrol": '#!/bin/sh\n[ "$*" = "show hostnames $SLURM_JOB_NODELIST" ] && printf "node1\\nnode2\\n"\n',
    "srun": """#!/bin/bash
[ "$1" = --kill-on-bad-exit=1 ] || exit 99
shift
"$@" & first=$!
"$@" & second=$!
wait $first && wait $second
""",
}
"""Stand-ins for the programs of a cluster of two nodes; both nodes are this machine."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, first on the PATH, and the variables of a job on two nodes."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in STUBS.items():
        program(programs, name, text)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name, value in {"JOB_ID": "7654321", "JOB_NUM_NODES": "2", "JOB_NODELIST": "node[1-2]"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    return programs


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    (folder / name).chmod(0o755)


def submit(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """What Slurm does with the script on the first node."""
    command = ["bash", str(SCRIPT), *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True, timeout=60
    )


def test_every_node_starts_the_same_torchrun(cluster: Path, tmp_path: Path) -> None:
    program(cluster, "torchrun", '#!/bin/sh\nprintf "%s\\n" "$@" > "$(mktemp -p .)"\n')
    answer = submit(tmp_path, "--dataset", "sbm[nodes=300, classes=3]", "--set", "rho=1e-3", SLURM_GPUS_ON_NODE="4")
    assert answer.returncode == 0, answer.stderr
    first, second = (path.read_text().splitlines() for path in tmp_path.glob("tmp.*"))
    assert first == second
    assert {"--nnodes=2", "--nproc-per-node=4", "--rdzv-endpoint=node1:29721", "--rdzv-id=7654321"} <= set(first)
    assert first[-7:] == ["-m", "pdadmm_bench", "run", "--dataset", "sbm[nodes=300, classes=3]", "--set", "rho=1e-3"]


@pytest.mark.parametrize(("gpus", "wanted", "workers"), [("", "", "1"), ("2", "", "2"), ("2", "1", "1")])
def test_workers_per_node(cluster: Path, tmp_path: Path, gpus: str, wanted: str, workers: str) -> None:
    program(cluster, "torchrun", '#!/bin/sh\necho "$2" >> said\n')
    assert submit(tmp_path, SLURM_GPUS_ON_NODE=gpus, WORKERS_PER_NODE=wanted).returncode == 0
    assert set((tmp_path / "said").read_text().split()) == {f"--nproc-per-node={workers}"}


def test_cores_and_numa_nodes_reach_the_workers(cluster: Path, tmp_path: Path) -> None:
    """srun does not inherit the number of cores of sbatch."""
    program(cluster, "torchrun", '#!/bin/sh\necho "$SRUN_CPUS_PER_TASK" "$@" >> said\n')
    assert submit(tmp_path, SLURM_CPUS_PER_TASK="8", NUMA_BINDING="node").returncode == 0
    assert submit(tmp_path, SLURM_CPUS_PER_TASK="8").returncode == 0
    lines = (tmp_path / "said").read_text().splitlines()
    assert all(line.startswith("8 ") for line in lines)
    assert ["--numa-binding=node" in line for line in lines] == [True, True, False, False]


def test_a_node_that_fails_fails_the_job(cluster: Path, tmp_path: Path) -> None:
    program(cluster, "torchrun", "#!/bin/sh\nexit 3\n")
    assert submit(tmp_path).returncode == 3
    program(cluster, "scontrol", "#!/bin/sh\nexit 1\n")
    assert submit(tmp_path).returncode != 0


@pytest.fixture
def kubernetes() -> dict[str, Any]:
    """The documents of the job file by kind."""
    return {document["kind"]: document for document in yaml.safe_load_all(JOB.read_text(encoding="utf-8"))}


def test_the_pods_find_each_other(kubernetes: dict[str, Any]) -> None:
    service, job = kubernetes["Service"], kubernetes["Job"]["spec"]
    name, pod = kubernetes["Job"]["metadata"]["name"], job["template"]["spec"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
    assert pod["subdomain"] == service["metadata"]["name"]
    (container,) = pod["containers"]
    assert f"--rdzv-endpoint={name}-0.{pod['subdomain']}:29400" in container["args"]
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"]
    assert f"--nnodes={job['completions']}" in container["args"]


def test_a_pod_that_ends_is_not_started_again_and_nobody_is_root(kubernetes: dict[str, Any]) -> None:
    job = kubernetes["Job"]["spec"]
    assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (0, "Never")
    assert job["template"]["spec"]["securityContext"]["runAsNonRoot"]
    (container,) = job["template"]["spec"]["containers"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["image"].endswith(f":{__version__}")


def test_torchrun_understands_what_it_is_given(kubernetes: dict[str, Any]) -> None:
    """The job, and the lines of runners/torchrun.md."""
    from torch.distributed.run import get_args_parser

    (container,) = kubernetes["Job"]["spec"]["template"]["spec"]["containers"]
    commands = [container["command"] + container["args"], *lines(ROOT / "runners/torchrun.md", "torchrun")]
    assert len(commands) == 3
    for _, *arguments in commands:
        asked = get_args_parser().parse_args(arguments)
        assert (asked.module, asked.training_script) == (True, "pdadmm_bench")
        understood(asked.training_script_args)


@pytest.mark.slow
def test_the_command_understands_what_launchers_and_containers_give_it() -> None:
    page = ROOT / "docs/machines.md"
    calls = {
        "sbatch": [["run", *words[words.index("runners/slurm/run.sbatch") + 1 :]] for words in lines(page, "sbatch")],
        "docker run": [words[2:] for words in lines(page, "docker run")],
        "docker compose run": [words[words.index("bench") + 1 :] for words in lines(page, "docker compose run")],
    }
    for arguments in calls["docker run"]:
        while arguments and arguments[0].startswith("-"):
            arguments.pop(0)
        assert arguments.pop(0).partition(":")[0] == "pdadmm-bench"
    assert [len(found) for found in calls.values()] == [2, 5, 2]
    for arguments in (arguments for found in calls.values() for arguments in found if arguments):
        understood(arguments)


def lines(document: Path, start: str) -> list[list[str]]:
    """The words of the lines of a document that begin a command."""
    text = document.read_text(encoding="utf-8").splitlines()
    return [shlex.split(line) for line in text if line.startswith(f"{start} ")]


def understood(arguments: list[str]) -> None:
    """The verb takes the options; of ``run`` also the values, as far as they can be checked without data."""
    group: Any = typer.main.get_command(app)
    if arguments[0] == "run":
        group.main([*arguments, "--device", "cpu", "--dry-run"], standalone_mode=False)  # whatever devices are here
    else:
        group.commands[arguments[0]].make_context(arguments[0], arguments[1:])
