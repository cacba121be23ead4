"""Processes that work for this one, each on one task at a time, and tell it what happens.

They stand apart from the terminal, so that Ctrl-C reaches them only through :meth:`Slot.interrupt`, and one that the
system kills takes nothing but its own task with it. They end when this process does, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any

GONE = "gone"
"""The event of a process that ended; its content says how."""
DONE = "done"
"""The event of a process that is free for the next task."""


class Slot:
    """One process; started with its first task."""

    def __init__(self, module: str, folder: Path, number: int):
        self._module, self._log = module, folder / f"process-{number}.log"
        self.task: Any = None
        """What it works on, None while it is free."""
        self.connection: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def give(self, task: Any) -> None:
        """Start the ``task`` (picklable), in a new process if there is none."""
        if self.connection is None:
            self._start()
        assert self.connection is not None
        self.task = task
        with contextlib.suppress(OSError):  # the process is gone already; so says its next event
            self.connection.send(task)

    def acknowledge(self) -> None:
        """Let the process go on after an event."""
        with contextlib.suppress(OSError):
            if self.connection is not None:
                self.connection.send(None)

    def interrupt(self) -> None:
        """Ctrl-C for the process and for those it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGINT)

    def end(self) -> None:
        """End the process, at once; what it started notices and ends by itself."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None and self.connection is not None
            self._process.stdin.close()
            self.connection.close()
            self._process = self.connection = None

    def epitaph(self) -> str:
        """How the process ended, in one line."""
        assert self._process is not None
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "the process does not answer"
        if code < 0:
            name = signal.Signals(-code).name
            return f"killed by {name}" + ("; the system may have run out of memory" if name == "SIGKILL" else "")
        last = self.said().strip().splitlines()
        return f"the process ended with exit code {code}" + (f": {last[-1]}" if last else "")

    def said(self) -> str:
        """What the process printed."""
        return self._log.read_text(errors="replace")

    def _start(self) -> None:
        self.connection, theirs = Pipe()
        # The package this process runs, whatever the working folder holds.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module, str(theirs.fileno()), str(self._log.parent)],
                pass_fds=[theirs.fileno()], env=environment, process_group=0,
                stdin=subprocess.PIPE,  # nothing is written; its end tells the process that this one ended
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        theirs.close()


class Pool:
    """A number of slots; as a context manager it ends them."""

    def __init__(self, size: int, module: str):
        self._folder = tempfile.TemporaryDirectory(prefix="pdadmm-bench-")
        self.slots = [Slot(module, Path(self._folder.name), number) for number in range(size)]

    @property
    def free(self) -> list[Slot]:
        """Slots without a task."""
        return [slot for slot in self.slots if slot.task is None]

    @property
    def busy(self) -> list[Slot]:
        """Slots with a task."""
        return [slot for slot in self.slots if slot.task is not None]

    def events(self, timeout: float) -> list[tuple[Slot, str, Any]]:
        """What the busy slots told since the last call, waiting at most ``timeout`` seconds for the first of it.

        Every event but :data:`GONE` and :data:`DONE` is to be acknowledged.
        """
        slots = {slot.connection: slot for slot in self.busy if slot.connection is not None}
        found = []
        for connection in wait(list(slots), timeout) if slots else ():
            assert isinstance(connection, Connection)
            slot = slots[connection]
            try:
                event, content = connection.recv()
            except (EOFError, OSError):
                event, content = GONE, slot.epitaph()
            found.append((slot, event, content))
        return found

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for slot in self.slots:
            slot.end()
        self._folder.cleanup()
