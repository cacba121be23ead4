"""Runs over several workers: the work of each worker, and the part of the parent process.

The parent owns display, tracking and rows. Worker 0 reports each event to it through a pipe and waits until the parent
has handled the event; the other workers wait for worker 0 (:class:`InStep`). So logging never runs during a measured
iteration. When a worker fails, the parent still has every step of the run and makes the row from them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pdadmm_bench.core.child import KILLED, parent
from pdadmm_bench.core.errors import Unreachable
from pdadmm_bench.core.options import Output
from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.stored import mapped, read
from pdadmm_bench.parallel.group import Group, joined
from pdadmm_bench.parallel.launch import Interrupted, WorkerFailure, launch
from pdadmm_bench.parallel.supervisor import Supervisor
from pdadmm_bench.training.checkpoint import Checkpoints
from pdadmm_bench.training.code_version import code_version
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.relay import Relay, RelayedRun
from pdadmm_bench.training.row import failed_with
from pdadmm_bench.training.run import run as train
from pdadmm_bench.training.setup import resolve


def run_in_workers(
    specs: Sequence[RunSpec], output: Output, observers: Callable[[], list[Observer]], keep: Callable[[Row], None],
    device: torch.device | None = None, problem: Path | None = None, supervisor: Supervisor | None = None,
) -> None:  # fmt: skip
    """Train every spec over ``gpus`` workers; a failed run becomes a row, and new workers train the rest.

    Args:
        observers: makes the observers of one run.
        keep: called with every row as soon as it is complete.
        device: where that was decided before, for the whole command.
        problem: the file of a problem (:mod:`pdadmm_bench.data.stored`) that is not loaded by its name, or that workers
            share.
        supervisor: of worker 0, where a launcher started this process; a failed run is then the last.
    """
    device = device or resolve(specs[0]).device
    pending = list(specs)
    while pending:
        runs = _Runs(pending, observers, keep)
        try:
            if supervisor:
                supervisor.launch(_work, pending, output, device, problem, on_event=runs.handle)
            else:
                launch(
                    pending[0].gpus, _work, pending, output, device, problem,
                    on_event=runs.handle, patience=output.dist_timeout,
                )  # fmt: skip
        except WorkerFailure as failure:
            reason = failure.reason.removeprefix(f"{MemoryError.__name__}: ")
            status = "oom" if reason != failure.reason else failed_with(reason)
            if reason.startswith(KILLED):  # a guess at the cause is no reason
                status = "error"
            log = {f"worker-{failure.rank}.log": failure.log}
            runs.fail(status, f"worker {failure.rank}: {reason}", log)
        except Interrupted:
            runs.fail("interrupted", "stopped by the user")
            return
        if runs.stopped or supervisor:
            return
        pending = pending[len(runs.rows) :]


def work_along(specs: Sequence[RunSpec], output: Output, device: torch.device, supervisor: Supervisor) -> None:
    """Train every spec as one of the other workers, whose ``supervisor`` is this process.

    Raises :class:`Unreachable` when a worker failed, and ``KeyboardInterrupt`` when the user stopped the workers.
    """
    try:
        supervisor.launch(_work, specs, output, device, None)
    except Interrupted:
        raise KeyboardInterrupt from None
    except WorkerFailure as failure:
        raise Unreachable(str(failure)) from failure


def checkpoints_of(output: Output) -> Checkpoints | None:
    """The checkpoints of the runs of an invocation; None where the user asked for none."""
    return Checkpoints(output.checkpoint, output.checkpoint_every, code_version) if output.checkpoint else None


def _work(specs: list[RunSpec], output: Output, device: torch.device, stored: Path | None) -> None:
    """Run every spec as one worker; worker 0 reports to the parent."""
    problem = None
    if stored and any(spec.may_split_rows for spec in specs):
        problem = mapped(stored)  # each worker reads its rows alone
    elif os.environ["RANK"] == "0":  # before joined(): the others wait longer there than in an exchange
        quiet: Callable[[str], None] = lambda line: None  # noqa: E731  (the parent has reported it already)
        problem = (
            read(stored, quiet)
            if stored
            else load_problem(
                specs[0].data, data_root=output.data_root, cache=output.cache, offline=output.offline, report=quiet
            )
        )
    with joined(device.type, output.dist_timeout) as group:
        observer = InStep([_FromWorker(parent())] if group.rank == 0 else [], group)
        for spec in specs:
            result = train(spec, problem, [observer], group=group, checkpoints=checkpoints_of(output), device=device)
            if result.row["status"] == "oom":
                raise MemoryError(result.row["status_reason"]) from result.error  # its text has this worker's memory
            if result.error is not None:
                raise result.error
            if result.row["status"] == "interrupted":
                return


class InStep(Observer):
    """Worker 0's observers, for which every other worker waits, however long they take.

    The other workers have an ``InStep`` without observers. So a slow store neither lengthens the next iteration nor
    counts as a stalled exchange.
    """

    def __init__(self, observers: Sequence[Observer], group: Group):
        self._observers, self._group = observers, group

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        for observer in self._observers:
            observer.started(spec, facts)
        self._group.follow()

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        for observer in self._observers:  # the others wait already: for the next step, or for the end of the warm start
            observer.on_warm_start_step(layers, step)

    def stepped(self, step: Mapping[str, float]) -> None:
        for observer in self._observers:
            observer.stepped(step)
        self._group.follow()

    def on_message(self, text: str) -> None:
        for observer in self._observers:  # messages are rare and short, so nobody waits
            observer.on_message(text)

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        for observer in self._observers:
            observer.finished(row, history)
        if not status_of(row).crashed:
            self._group.follow()


class _FromWorker(Relay):
    """Worker 0's observer, which passes everything on to those of the parent process."""

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """Pass on the row, unless the run crashed: another worker's end may have caused that."""
        if not status_of(row).crashed:
            self.tell("finished", row, wait=row["status"] != "interrupted")  # an interrupted worker has no time to wait


class _Runs:
    """The parent's side: the runs that worker 0 reports, one after the other."""

    def __init__(self, specs: Sequence[RunSpec], observers: Callable[[], list[Observer]], keep: Callable[[Row], None]):
        self._specs, self._make_observers, self._keep = specs, observers, keep
        self.rows: list[Row] = []
        """The rows of the runs that are over."""
        self._current = self._next()

    @property
    def stopped(self) -> bool:
        """Whether the user stopped the last run that is over."""
        return bool(self.rows) and self.rows[-1]["status"] == "interrupted"

    def handle(self, event: str, content: Sequence[Any]) -> None:
        """Handle an event that worker 0 reports."""
        assert self._current is not None
        self._current.handle(event, content)
        if self._current.row is not None:
            self._over(self._current.row)

    def fail(self, status: str, reason: str, attachments: Mapping[str, str] | None = None) -> None:
        """Make the row of the run that the workers could not finish."""
        if self._current is not None and not self.stopped:
            self._over(self._current.fail(status, reason, attachments))

    def _over(self, row: Row) -> None:
        self._keep(row)
        self.rows.append(row)
        self._current = self._next()

    def _next(self) -> RelayedRun | None:
        done = len(self.rows)
        return RelayedRun(self._specs[done], self._make_observers) if done < len(self._specs) else None
