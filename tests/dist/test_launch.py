"""Starting workers without a command around them."""

from __future__ import annotations

import atexit
import os
import signal
import time

import pytest

from pdadmm_bench.dist.group import joined
from pdadmm_bench.dist.launch import WorkerFailure, launch

pytestmark = pytest.mark.dist


def hang_in_the_middle(rank: int) -> None:
    """Worker ``rank`` of several stops answering, the others wait for it in different ways."""
    with joined("cpu", 2.0) as group:
        group.gather(None)
        if group.rank == rank:
            time.sleep(100)
        elif group.rank == 0:
            group.broadcast(None, source=rank)
        else:
            group.gather(None)


def fail_and_linger() -> None:
    """Worker 1 closes its connections long before its process ends, so that worker 0 ends first."""
    try:
        with joined("cpu", 20.0) as group:
            group.gather(None)
            if group.rank == 1:
                raise ArithmeticError("the cause")
            group.gather(None)
    except ArithmeticError:
        atexit.register(time.sleep, 3)
        raise


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


def test_the_cause_is_named_even_if_its_process_ends_last() -> None:
    with pytest.raises(WorkerFailure) as failure:
        launch(2, fail_and_linger)
    assert str(failure.value) == "worker 1: ArithmeticError: the cause"
    assert "fail_and_linger" in failure.value.log
