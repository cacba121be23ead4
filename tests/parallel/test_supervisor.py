"""The processes that a launcher such as torchrun starts: each learns how every worker ended, whichever it started."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from command import Command, Commands
from fates import meet
from ports import free_port

from pdadmm_bench.parallel.launch import WorkerFailure
from pdadmm_bench.parallel.supervisor import Supervisor

pytestmark = pytest.mark.dist

PATIENCE_S = 4.0
NO_SIGN = f"does not answer: no sign of life for {PATIENCE_S:g} s"
FAILURES = {
    ("waits", "is stopped", "waits"): f"worker 1: {NO_SIGN}",
    ("is stopped", "waits", "returns"): f"worker 0: {NO_SIGN}",
    ("returns", "waits", "raises"): "worker 2: RuntimeError: the roof is on fire",
    ("waits", "returns", None): f"worker 2: {NO_SIGN}",
    (None, "waits", "waits"): f"worker 0: {NO_SIGN}",
}
"""What each worker does, and what every supervisor says. One of None never starts."""


def outcomes(fates: tuple[str | None, ...]) -> list[Any]:
    """What the supervisor of each worker returns or raises."""
    store = dist.HashStore()

    def supervise(rank: int) -> Any:
        supervisor = Supervisor(store, rank, len(fates), PATIENCE_S)
        try:
            return supervisor.launch(meet, fates[rank])
        except WorkerFailure as failure:
            return str(failure)
        finally:
            supervisor.end()

    ranks = [rank for rank, fate in enumerate(fates) if fate]
    with ThreadPoolExecutor(len(ranks)) as pool:
        return list(pool.map(supervise, ranks))


def test_the_value_of_worker_0_is_returned_when_all_have_returned() -> None:
    assert outcomes(("returns", "returns", "returns")) == ["returns", None, None]


@pytest.mark.parametrize("fates", FAILURES)
def test_every_supervisor_names_the_worker_that_failed(fates: tuple[str | None, ...]) -> None:
    assert set(outcomes(fates)) == {FAILURES[fates]}


def worker_of(command: Command, rank: int) -> int:
    """The process that trains as ``rank``; torchrun puts it into a session of its own."""
    wanted = {f"RANK={rank}", f"TMPDIR={command.folder / 'temporary'}"}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = set((process / "environ").read_text(errors="replace").split("\0"))
            if wanted <= variables and b"pdadmm_bench.core.child" in (process / "cmdline").read_bytes():
                return int(process.name)
    raise AssertionError(command.said())


@pytest.mark.slow
def test_a_worker_of_torchrun_that_is_stopped_in_the_warm_start_is_named(commands: Commands) -> None:
    torchrun = (
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}",
    )  # fmt: skip
    command = commands.run(
        "--optimizer", "slow", "--warm-start", "2:10000", "--dist-timeout", f"{PATIENCE_S:g}", program=torchrun
    )
    command.wait_for((command.folder / "training-0").exists)
    os.kill(worker_of(command, 1), signal.SIGSTOP)
    began = time.monotonic()
    assert command.finish() == 1
    (row,) = command.rows()
    assert (row["status"], row["status_reason"]) == ("error", f"worker 1: {NO_SIGN}")
    assert f"error: worker 1: lost a worker (worker 1: {NO_SIGN})" in command.said()
    assert time.monotonic() - began < 60  # a follower waited seven days, and worker 0 for its warm start
