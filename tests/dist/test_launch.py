"""Starting workers without a command around them."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from pdadmm_bench.dist.group import joined
from pdadmm_bench.dist.launch import Interrupted, WorkerFailure, launch

pytestmark = pytest.mark.dist


def hang_in_the_middle(rank: int, parent: int) -> None:
    """Worker ``rank`` of several stops answering, the others wait for it in different ways."""
    with joined("cpu", 2.0) as group:
        group.gather(None)
        if group.rank == rank:
            time.sleep(100)
        elif group.rank == 0:
            group.broadcast(None, source=rank)
        else:
            group.gather(None)


def wait_to_be_stopped() -> None:
    """As a worker that computes and does not look at signals."""
    with joined("cpu", 60.0) as group:
        group.gather(None)
        if group.rank == 1:
            os.kill(os.getppid(), signal.SIGINT)
        time.sleep(100)


def state_of_this_process() -> tuple[object, ...]:
    return (
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)],
        signal.pthread_sigmask(signal.SIG_BLOCK, []),
        dict(os.environ),
    )


def test_of_several_the_one_that_hangs_is_named() -> None:
    before = state_of_this_process()
    with pytest.raises(WorkerFailure) as failure:
        launch(3, hang_in_the_middle, 1, os.getpid())
    assert failure.value.rank == 1
    assert failure.value.reason.startswith("does not answer (worker ")
    assert "\n" not in str(failure.value)
    assert state_of_this_process() == before


def test_a_signal_to_the_parent_ends_all_workers() -> None:
    before = state_of_this_process()
    start = time.monotonic()
    with pytest.raises(Interrupted):
        launch(2, wait_to_be_stopped)
    assert time.monotonic() - start < 60
    assert state_of_this_process() == before
    assert not [
        thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()
    ]
