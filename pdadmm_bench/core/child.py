"""The one way to start a process that works for this one.

A :class:`Child` is a fresh interpreter that calls one function and has a pipe to this process. It has these properties:

- It never runs the program of its parent again. A child of :mod:`multiprocessing` imports the parent's main script, and
  a script without an ``if __name__ == "__main__"`` would start itself again.
- It has a process group of its own, so that Ctrl-C on the terminal reaches only the parent. The parent passes the
  signal on with :meth:`Child.interrupt`.
- It ends when its parent ends, for whatever reason. The parent holds one end of the child's standard input and never
  writes to it; the child ends itself when that end is closed.
- Its output goes to the terminal, or to a temporary file without a name, which the system removes.
- It gives signs of life, and is killed if it stops doing so, where the parent asks for that
  (:mod:`pdadmm_bench.core.heartbeat`).

``python -m pdadmm_bench.core.child FD BEAT`` is the child: it inherits one end of the pipe as file descriptor FD, and
the pipe for its signs of life as BEAT.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pdadmm_bench.core.errors import Unreachable
from pdadmm_bench.core.heartbeat import Watch, beat

POLL_S = 0.2
KILLED = "killed by"
"""How :func:`exit_reason` begins for a process that a signal ended."""
EXIT_S = 5.0
"""Seconds to wait for the end of a child after its pipe was closed."""


@dataclass(frozen=True)
class Returned:
    """The function of a child returned ``value``."""

    value: Any


@dataclass(frozen=True)
class Failure:
    """A child ended without a result."""

    reason: str
    """What happened, in one line."""
    trace: str = ""
    """The traceback of the exception; empty where there was none."""
    unreachable: bool = False
    """Whether the child failed only because it lost another process; that process then holds the cause."""
    signal: int = 0
    """The signal that killed it; 0 where none did."""


class Child:
    """A process that calls ``function(*arguments)``; as a context manager, it ends with the block.

    Args:
        function: importable in another process. It exchanges messages through :func:`parent`, and this process
            through :meth:`send` and :meth:`receive`.
        arguments: picklable.
        environment: variables for the child, on top of those of this process.
        terminal: whether the child prints to where this process does.
        patience: seconds without a sign of life after which the child is killed; None: it may be silent for ever.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        environment: Mapping[str, str] | None = None,
        terminal: bool = False,
        patience: float | None = None,
    ):
        task = pickle.dumps((function, arguments))  # not Connection.send: with torch, it shares the memory of tensors
        self.failure: Failure | None = None
        """The failure that :meth:`receive` has returned, if any."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self.connection, theirs = Pipe()
        output = None if terminal else self._log
        self._watch: Watch | None = None
        ours, beating = os.pipe()
        try:
            with theirs:
                descriptors = [theirs.fileno(), beating]
                self._process = start_python(
                    ["-m", __name__, *map(str, descriptors)],
                    environment=environment, stdout=output, stderr=output, descriptors=descriptors,
                )  # fmt: skip
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(beating)
        if patience is None:
            os.close(ours)
        else:  # before anything is sent, which waits for a child that does not read
            self._watch = Watch(self._process, ours, patience)
        with contextlib.suppress(OSError):  # the child has ended already; the next message reports it
            self.connection.send_bytes(task)

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def send(self, message: Any) -> None:
        """Send ``message``, which the function receives from :func:`parent`; do nothing if the process has ended."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def receive(self) -> Any:
        """Wait for the next message: :class:`Returned`, :class:`Failure`, or what the function sent."""
        try:
            while not self.connection.poll(POLL_S):
                # A process that the child forked may keep the pipe open after the child's end.
                if not self.running and not self.connection.poll():
                    raise EOFError
            message = self.connection.recv()
        except (EOFError, OSError):
            message = self._ended()
        if isinstance(message, Failure):
            self.failure = message
        return message

    def interrupt(self) -> None:
        """Send the signal that Ctrl-C sends to a process on the terminal."""
        if self.running:
            self._process.send_signal(signal.SIGINT)

    def printed(self) -> str:
        """What the child printed so far, unless it prints on the terminal, and the traceback of its failure."""
        return "\n".join(filter(None, [read_log(self._log), self.failure.trace if self.failure else ""]))

    def join(self, timeout: float) -> None:
        """Wait until it has ended, at most ``timeout`` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def kill(self) -> None:
        """End it at once, if it has not ended; its own children then end too."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """:meth:`kill` it and forget what it printed."""
        self.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        self.connection.close()
        self._log.close()

    def _ended(self) -> Failure:
        try:
            code = self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            return Failure("the process does not answer")
        if self._watch is not None and self._watch.silent:
            return Failure(f"does not answer: no sign of life for {self._watch.patience:g} s", signal=signal.SIGKILL)
        return Failure(exit_reason(code, self.printed()), signal=max(0, -code))

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def start_python(
    arguments: Sequence[str],
    *,
    roots: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start this interpreter with ``arguments`` and the import path of this process, without the working folder.

    Its standard input is a pipe from this process. Ctrl-C is blocked until the new process unblocks it, so that Ctrl-C
    during its imports gives no traceback.

    Args:
        roots: folders to import from before any other.
        environment: variables on top of those of this process.
        descriptors: file descriptors that the process inherits.
    """
    path = os.pathsep.join([*map(str, roots), *filter(None, sys.path)])
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(
            [sys.executable, "-P", *arguments],
            env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", **(environment or {})},
            pass_fds=descriptors, process_group=0, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr,
        )  # fmt: skip
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def exit_reason(code: int, printed: str = "") -> str:
    """How a process ended, in one line: the signal that killed it, or its exit ``code`` and last ``printed`` line."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"{KILLED} {name}" + ("; the system may have run out of memory" if name == "SIGKILL" else "")
    last = printed.strip().splitlines()
    return f"the process ended with exit code {code}" + (f": {last[-1]}" if last else "")


def read_log(log: IO[bytes]) -> str:
    """What a process wrote to ``log`` so far; its position for further writes does not change."""
    return os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0).decode(errors="replace")


_parent: Connection | None = None
_reported = False
"""Whether the parent has been told that this child failed."""


def parent() -> Connection:
    """The pipe to the process that started this one as its :class:`Child`."""
    if _parent is None:
        raise RuntimeError("this process was not started as a child")
    return _parent


def report_failure(error: Exception) -> None:
    """Tell the parent now that this child fails with ``error``, because its end may take long, or hide the reason.

    Nothing that the child returns or raises afterwards reaches the parent. Without a parent, do nothing.
    """
    global _reported
    if _parent is not None and not _reported:
        _reported = True
        _send(_failure(error))


def _send(answer: Returned | Failure) -> None:
    """Send the last message of this child; raise if a result cannot be pickled."""
    content = pickle.dumps(answer)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    parent().send_bytes(content)


def end_with_parent() -> None:
    """From now on, end this process when the process at the other end of its standard input has ended."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(descriptor: int, beating: int) -> None:
    """Run a child: receive the function over the pipe ``descriptor``, call it, and send its result or failure.

    Args:
        beating: the pipe for its signs of life.
    """
    global _parent
    beat(beating)
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends it without a message, unless the function sets a handler
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # A terminal may be set to stop processes that print on it in the background.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)
    _parent = Connection(descriptor)
    task = _parent.recv_bytes()
    try:
        function, arguments = pickle.loads(task)
        value = function(*arguments)
        if not _reported:
            _send(Returned(value))
    except Exception as error:
        report_failure(error)


def _failure(error: Exception) -> Failure:
    unreachable = isinstance(error, Unreachable)
    text = str(error) if unreachable else f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return Failure((text.strip().splitlines() or [""])[0], trace, unreachable)


if __name__ == "__main__":
    # This module as __main__ has its own classes and pipe, other than those that the function imports.
    from pdadmm_bench.core.child import main as run_function

    run_function(*map(int, sys.argv[1:]))
