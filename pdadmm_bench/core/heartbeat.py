"""Signs of life of a process, watched by the process that started it.

A process that is stopped or hangs keeps its pipes open, so nobody who waits for a message from it learns that none will
come. So it writes a byte to a pipe of its own twice a second (:func:`beat`), also while it imports, loads or trains. A
:class:`Watch` in the other process kills it when no byte has come for a time and its processor time has not grown: that
covers a process that computes in one long call, in which no other thread of it runs.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
import time
from pathlib import Path

EVERY_S = 0.5
"""Seconds between two signs of life."""


def beat(descriptor: int) -> None:
    """From now on, write signs of life to the pipe ``descriptor``, until this process or the reader ends."""
    os.set_inheritable(descriptor, False)
    os.set_blocking(descriptor, False)

    def write() -> None:
        while True:
            try:
                os.write(descriptor, b".")
            except BlockingIOError:
                pass  # the pipe is full: the reader is busy, and will find it so
            except OSError:
                return
            time.sleep(EVERY_S)

    threading.Thread(target=write, daemon=True).start()


class Watch:
    """Kills ``process`` after ``patience`` seconds without a sign of life.

    Args:
        descriptor: the end of the pipe to read from; it is closed with :meth:`end`.
    """

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int, patience: float):
        self.patience = patience
        self.silent = False
        """Whether the process was killed because it gave no sign of life."""
        self._process, self._descriptor = process, descriptor
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Watch no longer."""
        self._ended.set()
        self._thread.join()
        os.close(self._descriptor)

    def _watch(self) -> None:
        silence, seconds, looked = 0.0, processor_seconds(self._process.pid), time.monotonic()
        while not self._ended.is_set():
            ready, _, _ = select.select([self._descriptor], [], [], EVERY_S / 2)
            # A longer time has passed if this process itself was stopped; the other one may have been stopped with it.
            silence += min(time.monotonic() - looked, EVERY_S)
            looked = time.monotonic()
            if ready and not os.read(self._descriptor, 1 << 16):
                return  # it has ended
            now = processor_seconds(self._process.pid)
            if ready or now != seconds:
                silence, seconds = 0.0, now
            elif silence >= self.patience:
                self.silent = self._process.poll() is None  # a process that it forked may keep the pipe open
                with contextlib.suppress(OSError):
                    self._process.kill()
                return


def processor_seconds(pid: int) -> float | None:
    """Processor seconds that the process has used so far; None where the system does not tell."""
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
