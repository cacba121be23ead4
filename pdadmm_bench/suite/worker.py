"""A process that makes the runs of a suite one after the other, and sends events to the suite's process.

Display, tracking and rows belong to the suite's process. A run over one worker is made here, one over several by
processes that are started from here. Steps are sent a few times a second. Training waits until they are handled, so
that logging never runs beside a measured iteration.

The process is a child (:mod:`pdadmm_bench.core.child`) that calls :func:`work`.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any

from pdadmm_bench.core.child import parent
from pdadmm_bench.core.options import Output
from pdadmm_bench.core.spec import DataSpec, RunSpec
from pdadmm_bench.suite.pool import DONE
from pdadmm_bench.training.relay import Relay

TELL_S = 0.25
"""Seconds between two messages about the steps of a run."""


@dataclass(frozen=True)
class Prepare:
    """A task: fetch and compute the rows of ``data``."""

    data: DataSpec
    output: Output


@dataclass(frozen=True)
class Make:
    """A task: make one run, with ``threads`` threads per worker."""

    spec: RunSpec
    threads: int
    output: Output


def work() -> None:
    """Work on tasks until the suite's process has no more."""
    worker = _Worker(Relay(parent(), TELL_S))
    while True:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            task = parent().recv()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            outcome = worker.on(task)
        except EOFError:
            return
        except KeyboardInterrupt:
            outcome = ("interrupted", "stopped by the user")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        parent().send((DONE, outcome))


class _Worker:
    """Does the tasks of this process, and keeps the rows of the last one."""

    def __init__(self, relay: Relay):
        self._relay = relay
        self._data: DataSpec | None = None
        self._problem: Any = None

    def on(self, task: Prepare | Make) -> tuple[str, str] | None:
        """Do the task; returns status and reason of a failure that left no row, else None."""
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
            run_in_workers([task.spec], task.output, lambda: [self._relay], lambda row: None)
        else:
            from pdadmm_bench.training.in_workers import checkpoints_of

            problem = self._load(task.spec.data, task.output)
            run(task.spec, problem, [self._relay], checkpoints=checkpoints_of(task.output))

    def _load(self, data: DataSpec, output: Output) -> Any:
        from pdadmm_bench.data.load import load_problem

        if data != self._data:
            self._data = self._problem = None
            self._problem = load_problem(
                data,
                data_root=output.data_root,
                cache=output.cache,
                offline=output.offline,
                report=self._relay.on_message,
            )
            self._data = data
        return self._problem
