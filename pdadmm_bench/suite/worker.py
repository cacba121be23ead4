"""A process that makes the runs of a suite one after the other, and tells the suite's process what happens.

Display, tracking and rows belong to the suite's process. A run over one worker is made here, one over several by
processes that are started from here. Steps are told a few times a second, and training waits until they were dealt
with, so that logging never runs beside a measured iteration.

``python -m pdadmm_bench.suite.worker FD FOLDER``, with one end of a pipe inherited as FD; FOLDER is that of the logs.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from pdadmm_bench.core.options import Output
from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import DataSpec, RunSpec
from pdadmm_bench.training.observer import Observer

TELL_S = 0.25


@dataclass(frozen=True)
class Prepare:
    """A task: fetch and compute the rows of ``data``."""

    data: DataSpec
    output: Output


@dataclass(frozen=True)
class Make:
    """A task: one run, with so many threads per worker."""

    spec: RunSpec
    threads: int
    output: Output


class Teller(Observer):
    """The observer of a run here: passes on what it sees."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._steps: list[dict[str, float]] = []
        self._next = 0.0

    def tell(self, event: str, content: Any) -> None:
        """Tell the suite's process, and wait until it has dealt with it."""
        self._connection.send((event, content))
        self._connection.recv()

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        """Pass on what is known before training."""
        self.tell("started", dict(facts))

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        """Tell how far the warm start is, when it is time to."""
        if time.monotonic() >= self._next:
            self.tell("on_warm_start_step", (layers, int(step["iteration"])))
            self._next = time.monotonic() + TELL_S

    def stepped(self, step: Mapping[str, float]) -> None:
        """Keep the step until it is time to pass some on."""
        self._steps.append(dict(step))
        if time.monotonic() >= self._next:
            self._flush()

    def on_message(self, text: str) -> None:
        """Pass it on."""
        self.tell("report", text)

    def attach(self, name: str, text: str) -> None:
        """Pass on the log of a worker that failed."""
        self.tell("attach", (name, text))

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """Pass on the row."""
        self._flush()
        self.tell("finished", row)

    def _flush(self) -> None:
        steps, self._steps = self._steps, []
        if steps:
            self.tell("stepped", steps)
        self._next = time.monotonic() + TELL_S


def main() -> None:
    """Work on tasks until the suite's process has no more."""
    threading.Thread(target=_watch, daemon=True).start()
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    connection = Connection(descriptor)
    work = _Work(Teller(connection))
    while True:
        try:
            task = connection.recv()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            outcome = work.on(task)
        except EOFError:
            return
        except KeyboardInterrupt:
            outcome = ("interrupted", "stopped by the user")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        connection.send(("done", outcome))


def _watch() -> None:
    """End with the suite's process, even when that was killed in the middle of an iteration here."""
    os.read(sys.stdin.fileno(), 1)
    shutil.rmtree(sys.argv[2], ignore_errors=True)
    os._exit(1)


class _Work:
    """What this process does, and the rows it did it on last."""

    def __init__(self, teller: Teller):
        self._teller = teller
        self._data: DataSpec | None = None
        self._problem: Any = None

    def on(self, task: Prepare | Make) -> tuple[str, str] | None:
        """Do the task; returns a status and a reason where there is no row to say it, None where all went well."""
        from pdadmm_bench.core.errors import DataError, UserError
        from pdadmm_bench.training.row import failed

        try:
            if isinstance(task, Prepare):
                self._load(task.data, task.output)
            else:
                self._make(task)
        except DataError as error:
            return "skipped", str(error)
        except UserError as error:
            return "error", str(error)
        except EOFError:
            raise
        except Exception as error:
            return failed(error), f"{type(error).__name__}: {error}".splitlines()[0]
        return None

    def _make(self, task: Make) -> None:
        from pdadmm_bench.training.run import run

        os.environ["OMP_NUM_THREADS"] = str(task.threads)
        if task.spec.gpus > 1:
            from pdadmm_bench.training.in_workers import run_in_workers

            self._data = self._problem = None  # the first worker has rows of its own
            run_in_workers([task.spec], task.output, lambda: [self._teller], lambda row: None)
        else:
            from pdadmm_bench.training.in_workers import checkpoints_of

            problem = self._load(task.spec.data, task.output)
            run(task.spec, problem, [self._teller], checkpoints=checkpoints_of(task.output))

    def _load(self, data: DataSpec, output: Output) -> Any:
        from pdadmm_bench.data.load import load_problem

        if data != self._data:
            self._data = self._problem = None
            self._problem = load_problem(
                data,
                data_root=output.data_root,
                cache=output.cache,
                offline=output.offline,
                report=lambda line: self._teller.tell("report", line),
            )
            self._data = data
        return self._problem


if __name__ == "__main__":
    # Under this name the tasks' classes would not be those that the suite's process pickled.
    from pdadmm_bench.suite.worker import main as run_tasks

    run_tasks()
