"""Starts the workers of a run on this machine, waits for them, and says which of them failed and why.

Every launch has a rendezvous of its own: a store in this process, on a free port. So launches at the same time do not
interfere. Worker 0 prints to the terminal; the output of the others is kept in case they fail.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from pdadmm_bench.core.child import Child, Failure, Returned
from pdadmm_bench.core.signals import STOPS, handlers_kept

GRACE_S = 1.0
"""Workers that do not end by themselves within this time after Ctrl-C, or after another one failed, are killed."""
_EXIT_S = 60.0
"""Seconds in which a worker that has returned may clean up and end."""
_POLL_S = 0.2
_ENDS = (*STOPS, signal.SIGHUP, signal.SIGQUIT)


class WorkerFailure(Exception):
    """A worker failed: its ``rank``, the ``reason`` in one line, and its ``log``."""

    def __init__(self, rank: int, reason: str, log: str):
        super().__init__(f"worker {rank}: {reason}")
        self.rank, self.reason, self.log = rank, reason, log


class Interrupted(Exception):
    """The launch was stopped by a signal."""


def launch(
    workers: int, function: Callable[..., Any], *arguments: Any, on_event: Callable[[str, Any], None] | None = None,
    patience: float | None = None,
) -> Any:  # fmt: skip
    """Run ``function(*arguments)`` in ``workers`` processes, wait for them, and return what it returned in worker 0.

    Args:
        workers: how many processes; :func:`pdadmm_bench.parallel.group.joined` makes a process group of them.
        function: must be importable; its arguments and what it returns are pickled.
        on_event: is given every ``(event, content)`` that a worker sends to :func:`pdadmm_bench.core.child.parent`. The
            worker gets the answer None when ``on_event`` has returned.
        patience: seconds without a sign of life after which a worker counts as lost, whatever it was doing; None:
            workers are not watched.

    Raises :class:`WorkerFailure` for the first worker that fails, after all others have ended, and
    :class:`Interrupted` after Ctrl-C. A second Ctrl-C is a ``KeyboardInterrupt``.
    """
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    environments = {rank: _environment(rank, workers, store.port) for rank in range(workers)}
    return Crew(environments, workers, patience, Outcomes()).run(function, *arguments, on_event=on_event)


class Outcomes:
    """How the workers of a launch ended, where this process starts all of them."""

    def __init__(self) -> None:
        self.failures: dict[int, Failure] = {}
        """By rank, in the order in which they were reported."""

    def returned(self, rank: int) -> None:
        """The worker ``rank`` of this process has returned."""

    def failed(self, rank: int, failure: Failure) -> None:
        """The worker ``rank`` of this process has failed."""
        self.failures[rank] = failure

    def complete(self) -> bool:
        """Whether every worker that another process started has returned or failed too."""
        return True


class Crew:
    """The workers of one launch that this process starts.

    Args:
        environments: the variables of each worker, by rank.
        size: how many workers there are, also those that another process starts.
        patience: as for :func:`launch`.
        outcomes: is told how the workers of this process ended, and tells how all did.
    """

    def __init__(
        self, environments: Mapping[int, Mapping[str, str]], size: int, patience: float | None, outcomes: Outcomes
    ):
        self._environments, self._size, self._life, self._outcomes = environments, size, patience, outcomes
        self._returned: dict[int, Any] = {}
        self._failed: set[int] = set()
        """The workers of this process that have failed."""
        self._stopped = False
        self._children: dict[int, Child] = {}
        self._interrupted: set[int] = set()
        self._patience: threading.Timer | None = None

    def run(
        self, function: Callable[..., Any], *arguments: Any, on_event: Callable[[str, Any], None] | None = None
    ) -> Any:
        """Start the workers, wait for them, and return what worker 0 returned; raises as :func:`launch` does."""

        def stop(number: int, frame: object) -> None:
            if self._stopped:
                raise KeyboardInterrupt
            self._stop()

        logs: Mapping[int, str] = {}
        with _handled(stop):
            try:
                self._start(function, *arguments)
                self._wait(on_event)
            finally:
                logs = self._end()
        failures = dict(self._outcomes.failures)
        if self._stopped or any(failure.signal == signal.SIGINT for failure in failures.values()):
            raise Interrupted
        if failures:
            rank, reason = failed_worker(failures, self._size)
            trace = failures[rank].trace if rank in failures else ""
            raise WorkerFailure(rank, reason, logs.get(rank) or trace or reason)
        return self._returned.get(0)

    def _start(self, function: Callable[..., Any], *arguments: Any) -> None:
        for rank, environment in self._environments.items():
            if self._stopped:
                raise Interrupted
            child = Child(function, *arguments, environment=environment, terminal=rank == 0, patience=self._life)
            self._children[rank] = child

    def _stop(self) -> None:
        """Interrupt every worker once. A timer kills those that are left soon after, whatever this process does."""
        self._stopped = True
        if self._patience is None:
            self._patience = threading.Timer(GRACE_S, self._kill, [[]])
            self._patience.start()
        for rank in self._children.keys() - self._interrupted:
            self._interrupted.add(rank)
            self._children[rank].interrupt()

    def _wait(self, on_event: Callable[[str, Any], None] | None) -> None:
        """Wait until every worker has returned or failed, but only for a limited time after a failure.

        The time of ``on_event`` does not count towards that limit.
        """
        if self._stopped:
            self._stop()  # for a worker that was starting at that moment
        deadline, known = 0.0, 0
        while self._pending() or not self._outcomes.complete():
            for rank in self._ready():
                began = time.monotonic()
                message = self._children[rank].receive()
                if isinstance(message, Returned):
                    self._returned[rank] = message.value
                    self._outcomes.returned(rank)
                elif isinstance(message, Failure):
                    self._failed.add(rank)
                    # Not an error for other processes either, whatever killed it at last.
                    message = replace(message, signal=signal.SIGINT) if self._stopped else message
                    self._outcomes.failed(rank, message)
                else:
                    if on_event:
                        on_event(*message)
                    self._children[rank].send(None)
                    deadline += time.monotonic() - began
            if len(self._outcomes.failures) > known:
                known = len(self._outcomes.failures)
                deadline = time.monotonic() + GRACE_S  # workers that lost this one need time to report it
            if known and time.monotonic() > deadline:
                return

    def _pending(self) -> list[int]:
        return [rank for rank in self._children if rank not in self._returned and rank not in self._failed]

    def _ready(self) -> list[int]:
        """The workers that have sent something, or have ended."""
        pending = {self._children[rank].connection: rank for rank in self._pending()}
        ended = [rank for rank in pending.values() if not self._children[rank].running]
        ready = wait(list(pending), 0 if ended else _POLL_S)
        # A process that a worker forked may keep the pipe open after the worker's end.
        return sorted({rank for connection, rank in pending.items() if connection in ready} | set(ended))

    def _kill(self, spared: Collection[int]) -> None:
        for rank, child in self._children.items():
            if rank not in spared:
                child.kill()

    def _end(self) -> Mapping[int, str]:
        """End every worker: wait for those that have returned, and kill the others; return what each printed."""
        self._kill(self._returned)
        for rank, child in self._children.items():
            if rank in self._returned:
                child.join(_EXIT_S)
        if self._patience:
            self._patience.cancel()
        logs = {rank: child.printed() for rank, child in self._children.items()}
        for child in self._children.values():
            child.end()
        return logs


def failed_worker(failures: Mapping[int, Failure], workers: int) -> tuple[int, str]:
    """The worker that caused the failure, and one line about what happened to it.

    Args:
        failures: by rank, in the order in which they were reported; at least one.
        workers: how many there were.

    It is the first worker that failed for a reason of its own. Where every failed worker only lost another one, it is a
    worker that reported nothing.
    """
    for rank, failure in failures.items():
        if not failure.unreachable:
            return rank, failure.reason
    rank, failure = next(iter(failures.items()))
    silent = [other for other in range(workers) if other not in failures]
    if not silent:
        return rank, failure.reason
    what = "does not answer" if "timed out" in failure.reason.lower() else "ended without an error"
    return silent[0], f"{what} (worker {rank}: {failure.reason})"


def _environment(rank: int, size: int, port: int) -> dict[str, str]:
    """The variables of a worker: those of torchrun, and settings where the user has made none."""
    settings = {"TORCH_NCCL_ASYNC_ERROR_HANDLING": "1"}  # as torchrun sets it
    if Path("/sys/class/net/lo").exists():
        settings["GLOO_SOCKET_IFNAME"] = "lo"  # all workers are on this machine, and a host name may not resolve
    return {name: value for name, value in settings.items() if name not in os.environ} | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is in the process that starts the workers
    }


@contextlib.contextmanager
def _handled(stop: Callable[[int, Any], None]) -> Any:
    """In the block, ``stop`` handles the signals that would end this process, except those that it ignores."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in _ENDS if signal.getsignal(number) != signal.SIG_IGN]
    with handlers_kept(*numbers, handler=stop):
        yield
