"""The launch scripts: Slurm's under stub programs, Kubernetes' against its schema, and that all say the same."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile import ROOT

from pdadmm_bench import __version__

SCRIPT = ROOT / "runners/slurm/run.sbatch"
JOB = ROOT / "runners/kubernetes/job.yaml"
TINY = (
    "--dataset", "sbm[nodes=300,classes=3,features=12]", "--hops", "1", "--num-val", "50", "--num-test", "50",
    "--layers", "4", "--hidden", "8", "--iterations", "4", "--threads", "1", "--json", "rows.json", "--device", "cpu",
)  # fmt: skip
STUBS = {
    # Two nodes with names that are one machine, each started by srun in turn.
    "scontrol": '#!/bin/sh\n[ "$*" = "show hostnames $SLURM_JOB_NODELIST" ] && printf "127.0.0.1\\n127.0.0.2\\n"\n',
    "srun": """#!/bin/bash
[ "$1" = --kill-on-bad-exit=1 ] || exit 99
shift
"$@" & first=$!
"$@" & second=$!
wait $first && wait $second
""",
    "torchrun": f'#!/bin/sh\nexec {sys.executable} -m torch.distributed.run "$@"\n',
}
"""Stand-ins for the programs of a cluster."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, first on the PATH, and the variables of a job on two nodes."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in STUBS.items():
        program(programs, name, text)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name, value in {"JOB_ID": str(free_port() - 29400), "JOB_NUM_NODES": "2", "JOB_NODELIST": "node[1-2]"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    return programs


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    (folder / name).chmod(0o755)


def free_port() -> int:
    """A port between those that the script chooses from."""
    for port in range(29400, 30400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no port is free")


def submit(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """What Slurm does with the script on the first node."""
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PET_LOCAL_ADDR": "127.0.0.1", **settings}
    command = ["bash", str(SCRIPT), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)


def test_shellcheck_has_nothing_to_say() -> None:
    command = [Path(sys.executable).parent / "shellcheck", "--severity=style", SCRIPT]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_node_starts_the_same_torchrun(cluster: Path, tmp_path: Path) -> None:
    program(cluster, "torchrun", '#!/bin/sh\nprintf "%s\\n" "$@" > "$(mktemp -p .)"\n')
    settings = {"SLURM_JOB_ID": "7654321", "SLURM_GPUS_ON_NODE": "4"}
    answer = submit(tmp_path, "--dataset", "sbm[nodes=300, classes=3]", "--set", "rho=1e-3", **settings)
    assert answer.returncode == 0, answer.stderr
    first, second = (path.read_text().splitlines() for path in tmp_path.glob("tmp.*"))
    assert first == second
    assert {"--nnodes=2", "--nproc-per-node=4", "--rdzv-endpoint=127.0.0.1:29721", "--rdzv-id=7654321"} <= set(first)
    assert first[-7:] == ["-m", "pdadmm_bench", "run", "--dataset", "sbm[nodes=300, classes=3]", "--set", "rho=1e-3"]


@pytest.mark.parametrize(("gpus", "wanted", "workers"), [("", "", "1"), ("2", "", "2"), ("2", "1", "1")])
def test_workers_per_node(cluster: Path, tmp_path: Path, gpus: str, wanted: str, workers: str) -> None:
    program(cluster, "torchrun", '#!/bin/sh\necho "$2" >> said\n')
    assert submit(tmp_path, SLURM_GPUS_ON_NODE=gpus, WORKERS_PER_NODE=wanted).returncode == 0
    assert set((tmp_path / "said").read_text().split()) == {f"--nproc-per-node={workers}"}


def test_a_node_that_fails_fails_the_job(cluster: Path, tmp_path: Path) -> None:
    program(cluster, "torchrun", "#!/bin/sh\nexit 3\n")
    assert submit(tmp_path).returncode == 3
    program(cluster, "scontrol", "#!/bin/sh\nexit 1\n")
    assert submit(tmp_path).returncode != 0


@pytest.mark.slow
@pytest.mark.dist
def test_two_nodes_train_one_network(cluster: Path, migrated: Path, tmp_path: Path) -> None:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    answer = submit(tmp_path, *TINY)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (row,) = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert (row["status"], row["dist_workers"], row["dist_device"]) == ("ok", 2, "cpu")


@pytest.fixture
def kubernetes() -> dict[str, Any]:
    """The documents of the job file by kind."""
    return {document["kind"]: document for document in yaml.safe_load_all(JOB.read_text(encoding="utf-8"))}


def test_kubernetes_knows_every_field(kubernetes: dict[str, Any]) -> None:
    import kubernetes_validate

    for document in kubernetes.values():
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


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


def test_torchrun_and_the_command_understand_what_they_are_given(kubernetes: dict[str, Any]) -> None:
    """The job, and the lines of runners/torchrun.md; those of the other documents are tested in test_docs.py."""
    from torch.distributed.run import get_args_parser

    (container,) = kubernetes["Job"]["spec"]["template"]["spec"]["containers"]
    lines = (ROOT / "runners/torchrun.md").read_text(encoding="utf-8").splitlines()
    commands = [
        container["command"] + container["args"],
        *(shlex.split(line) for line in lines if line[:8] == "torchrun"),
    ]
    assert len(commands) == 3
    for _, *arguments in commands:
        asked = get_args_parser().parse_args(arguments)
        assert (asked.module, asked.training_script) == (True, "pdadmm_bench")
        understood(asked.training_script_args)


def understood(arguments: list[str]) -> None:
    """The command could be run: its options are checked as far as is possible without data."""
    from pdadmm_bench.cli import execute, main

    asked: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "execute", lambda specs, output: asked.extend(specs) or 0)
        main.app(arguments, standalone_mode=False)
    assert asked
