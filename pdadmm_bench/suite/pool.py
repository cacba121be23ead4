"""Worker processes of this process. Each works on one task at a time and sends events.

They are children (:mod:`pdadmm_bench.core.child`): Ctrl-C reaches them only through :meth:`WorkerProcess.interrupt`,
and if the system kills one, only the task of that process is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

from pdadmm_bench.core.child import Child, Failure, Returned

GONE = "gone"
"""The event of a process that ended; its content says how."""
DONE = "done"
"""The event of a process that is free for the next task."""


class WorkerProcess:
    """One process; started with its first task.

    Args:
        function: what the process does: it receives tasks from its parent and sends events, ``(name, content)``.
        patience: seconds without a sign of life after which it is killed.
    """

    def __init__(self, function: Callable[[], None], patience: float | None = None):
        self._function, self._patience = function, patience
        self.task: Any = None
        """The task that it works on; None while it is free."""
        self.child: Child | None = None
        """The process; None while there is none."""

    def give(self, task: Any) -> None:
        """Start the ``task`` (picklable), in a new process if there is none."""
        if self.child is None:
            self.child = Child(self._function, patience=self._patience)
        self.task = task
        self.child.send(task)

    def acknowledge(self) -> None:
        """Let the process go on after an event."""
        if self.child is not None:
            self.child.send(None)

    def interrupt(self) -> None:
        """Send Ctrl-C to the process, which passes it on to the processes that it started."""
        if self.child is not None:
            self.child.interrupt()

    def end(self) -> None:
        """End the process at once; the processes that it started notice this and end by themselves."""
        if self.child is not None:
            self.child.end()
            self.child = None

    def printed(self) -> str:
        """What the process printed."""
        return self.child.printed() if self.child is not None else ""


class Pool:
    """A number of processes; as a context manager it ends them."""

    def __init__(self, size: int, function: Callable[[], None], patience: float | None = None):
        self.workers = [WorkerProcess(function, patience) for _ in range(size)]

    @property
    def free(self) -> list[WorkerProcess]:
        """The processes without a task."""
        return [worker for worker in self.workers if worker.task is None]

    @property
    def busy(self) -> list[WorkerProcess]:
        """The processes with a task."""
        return [worker for worker in self.workers if worker.task is not None]

    def events(self, timeout: float) -> list[tuple[WorkerProcess, str, Any]]:
        """The events that busy processes sent since the last call; waits at most ``timeout`` seconds for the first one.

        Every event except :data:`GONE` and :data:`DONE` must be acknowledged.
        """
        workers = {worker.child.connection: worker for worker in self.busy if worker.child is not None}
        found: list[tuple[WorkerProcess, str, Any]] = []
        for connection in wait(list(workers), timeout) if workers else ():
            worker = next(worker for end, worker in workers.items() if end is connection)
            assert worker.child is not None
            message = worker.child.receive()
            if isinstance(message, Failure):
                found.append((worker, GONE, message.reason))
            elif isinstance(message, Returned):
                found.append((worker, GONE, "the process ended"))
            else:
                found.append((worker, *message))
        return found

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.end()
