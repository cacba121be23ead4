"""``run`` over several workers as a user types it: under torchrun, and with options that cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from command import DATA, SAME, Commands, row_of_one_worker
from ports import free_port

from pdadmm_bench.cli.main import main
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.training.planned import plan

pytestmark = pytest.mark.dist


def test_torchrun_gives_the_weights_of_one_worker(commands: Commands, kept: Path) -> None:
    """Two nodes of one worker each, on this machine."""
    torchrun = (
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d",
        f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--rdzv-id=test", "--local-addr=127.0.0.1",
    )  # fmt: skip
    node = commands.run("--partition", "1,3", program=torchrun, GLOO_SOCKET_IFNAME="lo")
    other = commands.run("--partition", "1,3", program=torchrun, folder=node.folder, GLOO_SOCKET_IFNAME="lo")
    for command in (node, other):
        assert command.finish() == 0, command.said()
    (row,) = node.rows()
    assert (row["status"], row["dist_workers"], row["dist_device"]) == ("ok", 2, "cpu")
    assert (row["dist_partition"], row["dist_threads"]) == ("1,3", 1)
    expected = row_of_one_worker(kept, "pdadmm")
    assert {name: row[name] for name in SAME} == {name: expected[name] for name in SAME}
    assert "Traceback" not in node.said()
    assert node.said().count("iteration time") == 1  # of the one table
    runs = node.runs
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert {run.info.run_id for run in runs.values()} == {row["mlflow_run_id"], row["mlflow_parent_run_id"]}


REFUSED = {
    ("--gpus", "0"): "gpus=0 is not valid",
    ("--gpus", "5"): "5 workers need at least as many layers, got 4",
    ("--gpus", "2", "--partition", "1,2"): "partition '1,2' has 3 layers and the network 4",
    ("--gpus", "3", "--partition", "2,2"): "partition '2,2' has 2 blocks for 3 workers",
    ("--gpus", "2", "--partition", "4,0"): "has a block without layers",
    ("--gpus", "3", "--optimizer", "adam", "--schedule", "1f1b", "--microbatches", "2"): "as many as workers, 3",
    ("--gpus", "2", "--optimizer", "adam", "--schedule", "zero-bubble", "--microbatches", "5"): "such as 8 for 2",
    ("--gpus", "2", "--schedule", "interleaved-1f1b"): "here a worker has contiguous layers; give 1f1b",
    ("--gpus", "4", "--device", "cuda"): "and 4 are needed",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_refused_at_once(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "cuda" in arguments and torch.cuda.device_count() >= 4:
        pytest.skip("there are 4 CUDA devices")
    assert refused(arguments, monkeypatch, capsys).count(REFUSED[arguments]) == 1


def test_a_launcher_and_gpus_that_disagree(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    assert "--workers 2 under a launcher that started 3 workers" in refused(("--gpus", "2"), monkeypatch, capsys)


def test_a_mesh_under_a_launcher_has_the_workers_of_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    _, (spec,) = plan({"mesh": "layers=2,rows=2"})
    assert (spec.gpus, spec.axes()) == (4, (2, 2))
    with pytest.raises(UserError, match="give --workers 6, or a mesh of 4"):
        plan({"mesh": "layers=2,rows=3"})


def refused(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that refuses its input before anything is loaded or started."""
    monkeypatch.setattr("pdadmm_bench.cli.main.signal.signal", lambda number, handler: None)
    monkeypatch.setattr("pdadmm_bench.training.session.load_problem", None)
    monkeypatch.setattr(sys, "argv", ["pdadmm-bench", "run", *DATA, *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = (line for line in said.err.splitlines() if not line.startswith("warning"))
    return line
