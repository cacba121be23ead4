"""Runs over several workers: what each of them does, and how the parent process sees, keeps and ends it.

The parent owns display, tracking and rows. Worker 0 tells it what happens through a pipe and waits until the parent has
dealt with it, and the other workers wait for worker 0 (:class:`InStep`), so that logging never runs beside a measured
iteration. When a worker fails, the parent still has every step of the run and makes the row from them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from pdadmm_bench.core.options import Output
from pdadmm_bench.core.rows import Row, first_values, make_row, status_of
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.parallel.group import Group, joined
from pdadmm_bench.parallel.launch import Interrupted, WorkerFailure, launch
from pdadmm_bench.training.checkpoint import Checkpoints
from pdadmm_bench.training.code_version import code_version
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.row import Step, failed, results_from
from pdadmm_bench.training.run import run as train
from pdadmm_bench.training.setup import resolve

_DRAIN_S = 60.0


def run_in_workers(
    specs: Sequence[RunSpec], output: Output, observers: Callable[[], list[Observer]], keep: Callable[[Row], None]
) -> None:
    """Train every spec over ``gpus`` workers; a failed run becomes a row and the rest go on in fresh workers.

    Args:
        observers: makes the observers of one run.
        keep: is given every row as soon as it is complete.
    """
    pending = list(specs)
    while pending:
        hub = _Hub(pending, observers, keep)
        try:
            launch(pending[0].gpus, _work, pending, output, hub.workers_end)
            hub.close()
        except WorkerFailure as failure:
            hub.close()
            reason = failure.reason.removeprefix(f"{MemoryError.__name__}: ")
            oom = reason != failure.reason or failed(RuntimeError(reason)) == "oom" or "OutOfMemory" in reason
            hub.fail("oom" if oom else "error", f"worker {failure.rank}: {reason}", failure.log, failure.rank)
        except Interrupted:
            hub.close()
            hub.fail("interrupted", "stopped by the user")
            return
        if hub.stopped:
            return
        pending = pending[hub.done :]


def checkpoints_of(output: Output) -> Checkpoints | None:
    """Where the runs of an invocation keep theirs, if they are to."""
    return Checkpoints(output.checkpoint, output.checkpoint_every, code_version) if output.checkpoint else None


def _work(specs: list[RunSpec], output: Output, parent: Connection) -> None:
    """One worker: runs every spec, worker 0 with the parent as its observer."""
    device = resolve(specs[0]).device.type
    problem = None
    if os.environ["RANK"] == "0":  # before it joins: the others wait longer for that than for an exchange
        quiet: Callable[[str], None] = lambda line: None  # noqa: E731  (the parent has said it already)
        problem = load_problem(
            specs[0].data, data_root=output.data_root, cache=output.cache, offline=output.offline, report=quiet
        )
    with joined(device, output.dist_timeout) as group:
        observer = InStep([_Parent(parent)] if group.rank == 0 else [], group)
        for spec in specs:
            result = train(spec, problem, [observer], group=group, checkpoints=checkpoints_of(output))
            if result.row["status"] == "oom":
                raise MemoryError(result.row["status_reason"]) from result.error  # which tells of this worker's memory
            if result.error is not None:
                raise result.error
            if result.row["status"] == "interrupted":
                return


class InStep(Observer):
    """Worker 0's observers, for which every other worker waits, however long they take; those have one without any.

    So a slow store is neither a part of the next iteration, where the others would wait for worker 0, nor a stall.
    """

    def __init__(self, observers: Sequence[Observer], group: Group):
        self._observers, self._group = observers, group

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        for observer in self._observers:
            observer.started(spec, facts)
        self._group.follow()

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        for observer in self._observers:  # the others wait already, for the end of the warm start
            observer.on_warm_start_step(layers, step)

    def stepped(self, step: Mapping[str, float]) -> None:
        for observer in self._observers:
            observer.stepped(step)
        self._group.follow()

    def on_message(self, text: str) -> None:
        for observer in self._observers:  # seldom, and soon done
            observer.on_message(text)

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        for observer in self._observers:
            observer.finished(row, history)
        if not status_of(row).crashed:
            self._group.follow()


class _Parent(Observer):
    """Worker 0's observer: tells the parent process and waits for its answer."""

    def __init__(self, connection: Connection):
        self._connection = connection

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        self._tell("started", dict(facts))

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        self._tell("on_warm_start_step", (layers, dict(step)))

    def stepped(self, step: Mapping[str, float]) -> None:
        self._tell("stepped", dict(step))

    def on_message(self, text: str) -> None:
        self._tell("on_message", text)

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        if status_of(row).crashed:
            return  # the parent knows better: this may be the consequence of another worker's end
        self._connection.send(("finished", row))
        if row["status"] != "interrupted":  # then there is no time to wait
            self._connection.recv()

    def _tell(self, event: str, content: Any) -> None:
        self._connection.send((event, content))
        self._connection.recv()


class _Hub:
    """The parent's end: passes what worker 0 tells to the observers of the run it is about."""

    def __init__(self, specs: Sequence[RunSpec], observers: Callable[[], list[Observer]], keep: Callable[[Row], None]):
        self._specs, self._make_observers, self._keep = specs, observers, keep
        self.done = 0
        """Runs that have their row."""
        self.stopped = False
        self._connection, self.workers_end = Pipe()
        self._facts: dict[str, Any] | None = None
        self._history: list[Step] = []
        self._observers: list[Observer] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Deal with what worker 0 said before it ended, and stop listening."""
        self.workers_end.close()  # the last one, now that the workers are gone
        self._thread.join(_DRAIN_S)

    def fail(self, status: str, reason: str, log: str = "", rank: int = 0) -> None:
        """Make the row of the run that the workers could not finish."""
        if self.done == len(self._specs):
            return
        facts = self._facts or self._start(first_values(self._specs[self.done]))
        row = make_row(
            {
                **facts,
                **results_from(self._history, self._specs[self.done].target, {}),
                "status": status,
                "status_reason": reason,
            }
        )
        self._end(row, {f"worker-{rank}.log": log} if log else {})

    def _listen(self) -> None:
        with self._connection as connection:
            while True:
                try:
                    event, content = connection.recv()
                except (EOFError, OSError):
                    return
                self._handle(event, content)
                try:
                    connection.send(None)
                except OSError:
                    return

    def _handle(self, event: str, content: Any) -> None:
        if event == "started":
            self._start(content)
        elif event == "on_warm_start_step":
            for observer in self._observers:
                observer.on_warm_start_step(*content)
        elif event == "on_message":
            for observer in self._observers:
                observer.on_message(content)
        elif event == "stepped":
            self._history.append(content)
            for observer in self._observers:
                observer.stepped(content)
        else:
            self._end(content, {})

    def _start(self, facts: dict[str, Any]) -> dict[str, Any]:
        self._facts, self._history, self._observers = facts, [], self._make_observers()
        for observer in self._observers:
            observer.started(self._specs[self.done], facts)
        return facts

    def _end(self, row: Row, logs: Mapping[str, str]) -> None:
        for observer in self._observers:
            for name, text in logs.items():
                if hasattr(observer, "attach"):
                    observer.attach(name, text)
            observer.finished(row, self._history)
        self._keep(row)
        self.done += 1
        self.stopped = row["status"] == "interrupted"
        self._facts, self._history, self._observers = None, [], []
