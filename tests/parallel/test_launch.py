"""Starting workers without a command around them."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch.distributed

from pdadmm_bench.core.child import Failure
from pdadmm_bench.parallel.group import joined
from pdadmm_bench.parallel.launch import WorkerFailure, failed_worker, launch

pytestmark = pytest.mark.dist


def hang_in_the_middle(rank: int) -> None:
    """Worker ``rank`` of several stops answering; worker 0 waits for it, and the others for worker 0, patiently."""
    with joined("cpu", 2.0) as group:
        group.gather(None)
        if group.rank == rank:
            time.sleep(100)
        elif group.rank == 0:
            group.broadcast(None, source=rank)
        else:
            group.follow()


def fail_and_never_leave() -> None:
    """Worker 1 fails, and the end of its process group takes longer than anybody waits, as it may under NCCL."""
    with joined("cpu", 30.0) as group:
        group.gather(None)
        if group.rank == 1:
            torch.distributed.destroy_process_group = lambda: time.sleep(100)
            raise RuntimeError("CUDA error: out of memory")
        group.gather(None)


def choose_differently() -> None:
    """Worker 1 finds another kind of device than worker 0, as on another machine."""
    with joined("cuda" if os.environ["RANK"] == "1" else "cpu", 60.0):
        pass


def state_of_this_process() -> tuple[object, ...]:
    return (
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)],
        signal.pthread_sigmask(signal.SIG_BLOCK, []),
        dict(os.environ),
    )


def test_of_several_the_one_that_hangs_is_named() -> None:
    """And nothing of the launch stays behind in this process."""
    before = state_of_this_process()
    with pytest.raises(WorkerFailure) as failure:
        launch(3, hang_in_the_middle, 1)
    assert failure.value.rank == 1
    assert failure.value.reason.startswith("does not answer (worker ")
    assert "\n" not in str(failure.value)
    assert state_of_this_process() == before


def test_a_failure_is_told_before_the_group_is_left() -> None:
    began = time.monotonic()
    with pytest.raises(WorkerFailure, match="worker 1: RuntimeError: CUDA error: out of memory") as failure:
        launch(2, fail_and_never_leave)
    assert time.monotonic() - began < 60
    assert "fail_and_never_leave" in failure.value.log


def test_workers_on_different_kinds_of_devices_are_refused() -> None:
    """Before they wait for each other in a group that can never be."""
    with pytest.raises(WorkerFailure, match="worker 1 is on cuda and worker 0 on cpu: all workers of a run need"):
        launch(2, choose_differently)


def test_who_is_to_blame() -> None:
    """A worker that only lost another never is, where the cause is known; else one that said nothing."""
    lost, slow = Failure("Connection closed by peer", unreachable=True), Failure("Timed out waiting", unreachable=True)
    own = Failure("ValueError: no")
    assert failed_worker({0: lost, 2: own}, 3) == (2, "ValueError: no")
    assert failed_worker({1: own, 0: Failure("killed by SIGKILL")}, 3) == (1, "ValueError: no")
    assert failed_worker({0: lost, 2: lost}, 3) == (1, "ended without an error (worker 0: Connection closed by peer)")
    assert failed_worker({2: slow, 0: lost}, 3) == (1, "does not answer (worker 2: Timed out waiting)")
    assert failed_worker({1: lost, 0: lost}, 2) == (1, "Connection closed by peer")
