"""Makes the runs of a plan: hands them to processes, keeps every row, and comes to an end that loses nothing."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import typer
from rich.progress import TaskID

from pdadmm_bench.cli.views.suite import SuiteView
from pdadmm_bench.cli.views.suite_plan import Labels, runs
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.options import Output
from pdadmm_bench.core.rows import Row, first_values, make_row, status_of
from pdadmm_bench.core.signals import STOPS, handlers_kept
from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.data.load import look_for
from pdadmm_bench.suite.estimate import Outlook
from pdadmm_bench.suite.plan import Plan, Planned
from pdadmm_bench.suite.pool import DONE, GONE, Pool, Slot
from pdadmm_bench.suite.results import Claim, Results
from pdadmm_bench.suite.worker import Make, Prepare
from pdadmm_bench.tracking import TrackedRun
from pdadmm_bench.tracking.suite import SuiteTracker
from pdadmm_bench.training.code_version import code_version
from pdadmm_bench.training.row import Step, results_from

POLL_S = 0.5
GRACE_S = 20.0
"""How long runs have to end after Ctrl-C before they are killed."""


@dataclass
class Running:
    """A run under way."""

    planned: Planned
    claim: Claim
    concurrency: int
    """The most runs at once since it began, with those of other processes that work on the suite."""
    facts: dict[str, Any] = field(default_factory=dict)
    history: list[Step] = field(default_factory=list)
    observer: TrackedRun | None = None
    row: Row | None = None
    bar: TaskID | None = None
    began: float = field(default_factory=time.monotonic)


class Session:
    """One start of a suite.

    Args:
        tracker: None where nothing is tracked.
        output: where runs take their data from.
        again: whether finished runs are made again (``--force``).
    """

    def __init__(
        self, plan: Plan, results: Results, tracker: SuiteTracker | None, view: SuiteView, output: Output, jobs: int,
        again: bool,
    ):  # fmt: skip
        self._plan, self._results, self._tracker, self._view = plan, results, tracker, view
        self._output, self._jobs, self._again = output, jobs, again
        self._labels = Labels(plan.runs)
        self._pending: list[Planned] = []
        self._stops = 0
        self._halted = False
        self._told_waiting = False
        self.rows: dict[str, Row] = {}
        """Of the runs of this start that have one, by key."""

    def run(self) -> int:
        """Make what is to be made; returns the exit code: 0, 1 when one failed or was not reached, 130 after Ctrl-C."""
        for planned in self._plan.runs:
            if planned.action == "skip":
                self._without_training(planned, "skipped", planned.reason or "")
        self._adopt()
        with Pool(self._jobs, "pdadmm_bench.suite.worker") as pool, self._stopping(pool):
            self._prepare(pool)
            self._pending = [run for run in self._plan.to_make() if run.key not in self.rows]
            self._jobs = max(1, min(self._jobs, len(self._pending)))
            self._outlook = Outlook([_seconds(run) for run in self._pending], self._jobs)
            self._view.begin(len(self._pending), self._outlook.seconds)
            try:
                self._make_all(pool)
            finally:
                self._view.end()
                self._write_again()
        if self._stops:
            return 130
        return int(self._halted or any(status_of(row).failed for row in self.rows.values()))

    # Before the start: what a killed process left behind, and the data.

    def _adopt(self) -> None:
        """End those MLflow runs whose process was killed when it had written the row, but not ended the run."""
        for planned in self._plan.runs:
            if self._tracker and planned.finished and self._results.noted(planned.key):
                claim = self._results.claim(planned.key)
                if claim is None:
                    continue
                if claim.left_behind and planned.row:
                    self._tracker.adopt(claim.left_behind, planned.key, planned.row)
                    self._results.write(planned.key, planned.row)
                claim.release()

    def _prepare(self, pool: Pool) -> None:
        """Fetch and compute the rows that are not in the cache, and skip the runs whose rows cannot be had."""
        waiting: dict[DataSpec, list[Planned]] = {}
        for run in self._plan.to_make():
            if not run.found.ready:
                waiting.setdefault(run.spec.data, []).append(run)
        for data, members in waiting.items():
            if self._stops:
                return
            slot = pool.slots[0]
            slot.give(Prepare(data, self._output))
            outcome = self._prepared(pool)
            if outcome is None:
                found = look_for(data, data_root=self._output.data_root, cache=self._output.cache)
                for run in members:
                    run.found = found
                    run.look(self._results, self._view.warn)
                    if run.finished and not self._again:
                        run.action = "finished"
            elif not self._stops:
                status, reason = outcome
                what = "skipped" if status == "skipped" else "not possible"
                self._view.warn(f"{runs(len(members))} on {data.dataset} {what}: {reason}")
                for run in members:
                    self._without_training(run, status, reason)

    def _prepared(self, pool: Pool) -> tuple[str, str] | None:
        while True:
            for slot, event, content in pool.events(POLL_S):
                if event == GONE:
                    slot.end()
                    content = ("error", f"preparing the data: {content}")
                if event in (DONE, GONE):
                    slot.task = None
                    return content
                if event == "report":
                    self._view.report(content)
                slot.acknowledge()

    # The runs.

    def _make_all(self, pool: Pool) -> None:
        active: dict[Slot, Running] = {}
        deadline = None
        while True:
            if self._stops or self._halted:
                self._pending = []
            if self._stops and deadline is None:
                deadline = time.monotonic() + GRACE_S
                self._view.note("stopping: what is finished stays; Ctrl-C again does not wait for the runs under way")
            waiting = self._dispatch(pool, active)
            if not active:
                if not self._pending:
                    return
                if waiting:
                    time.sleep(POLL_S)
                continue
            for slot, event, content in pool.events(POLL_S):
                if event == "done":
                    self._over(slot, active.pop(slot), content)
                elif event == GONE:
                    self._gone(slot, active.pop(slot), content)
                else:
                    self._handle(active[slot], event, content)
                    slot.acknowledge()
            if deadline is not None and time.monotonic() > deadline:
                for slot in list(active):
                    self._gone(slot, active.pop(slot), "")

    def _dispatch(self, pool: Pool, active: dict[Slot, Running]) -> bool:
        """Give runs to free processes; whether those left are all being made by other processes."""
        elsewhere = 0
        for slot in pool.free:
            running, elsewhere = self._next()
            if running is None:
                break
            running.bar = self._view.started(self._labels.full(running.planned), running.planned.spec.iterations)
            active[slot] = running
            planned = running.planned
            checkpoint = self._results.checkpoints(planned.key, planned.threads)
            slot.give(Make(planned.spec, planned.threads, self._output.model_copy(update={"checkpoint": checkpoint})))
        at_once = len(active) + elsewhere
        for running in active.values():
            running.concurrency = max(running.concurrency, at_once)
        waiting = bool(self._pending) and elsewhere == len(self._pending) and not active
        if waiting and not self._told_waiting:
            self._view.note(f"waiting for {runs(elsewhere)} that another process is making")
            self._told_waiting = True
        return waiting

    def _next(self) -> tuple[Running | None, int]:
        """The next run nobody else makes, and the number of those before it that somebody does."""
        elsewhere = 0
        for planned in list(self._pending):
            claim = self._results.claim(planned.key)
            if claim is None:
                elsewhere += 1
                continue
            self._pending.remove(planned)
            if self._made_meanwhile(planned):
                claim.release()
                continue
            if code_version(planned.spec.optimizer) != planned.code:
                claim.release()
                self._halt()
                return None, elsewhere
            if self._tracker:
                if claim.left_behind:
                    self._tracker.abandon(claim.left_behind, planned.key)
                with contextlib.suppress(UserError):  # a full disk; the row will tell
                    claim.note(self._tracker.parent)
            return Running(planned, claim, concurrency=self._jobs), elsewhere
        return None, elsewhere

    def _made_meanwhile(self, planned: Planned) -> bool:
        """Whether another process has made the run since this one looked."""
        before = planned.row and planned.row["run_id"]
        planned.row = self._results.read(planned.key)
        if planned.row is None or planned.row["run_id"] == before or planned.row["status"] == "interrupted":
            return False
        self.rows[planned.key] = planned.row
        self._outlook.over(_seconds(planned), 0.0)
        self._view.elsewhere(self._labels.full(planned), planned.row)
        return True

    def _halt(self) -> None:
        self._halted = True
        self._view.warn(
            "the code changed while the suite was running, and the rows to come would not be of the code they name: "
            f"{runs(len(self._pending) + 1)} not made; start the suite again"
        )

    def _handle(self, running: Running, event: str, content: Any) -> None:
        if event == "report":
            self._view.report(content)
        elif event == "started":
            self._started(running, content)
        elif event == "on_warm_start_step":
            layers, iteration = content
            total = dict(running.planned.spec.stages())[layers]
            self._view.stepped(running.bar, iteration, total, f"warm start, {layers} layers")
        elif event == "stepped":
            running.history += content
            if running.observer:
                for step in content:
                    running.observer.stepped(step)
            known = next((step["acc_val"] for step in reversed(running.history) if "acc_val" in step), None)
            facts = "" if known is None else f"val {100 * known:.1f} %"
            self._view.stepped(running.bar, int(content[-1]["iteration"]), running.planned.spec.iterations, facts)
        elif event == "attach":
            if running.observer:
                running.observer.attach(*content)
        elif event == "finished":
            self._keep(running, content)

    def _started(self, running: Running, facts: Mapping[str, Any]) -> None:
        running.facts = dict(facts)
        if running.planned.spec.gpus == 1:
            running.began = time.monotonic()  # starting the process is paid once
        if self._tracker:
            key = running.planned.key
            running.observer = self._tracker.observer_of(key, self._results.files(key))
            running.observer.started(running.planned.spec, running.facts)

    def _over(self, slot: Slot, running: Running, outcome: tuple[str, str] | None) -> None:
        """The process is free again."""
        slot.task = None
        if running.row is None:
            self._fail(running, *(outcome or ("error", "the run ended without a row")))
        assert running.row is not None
        if status_of(running.row).crashed:
            slot.end()  # what is left of a failure must not touch the next run
        self._settle(running)

    def _gone(self, slot: Slot, running: Running, reason: str) -> None:
        """The process ended, or has to."""
        said = "" if self._stops else slot.said()
        slot.end()
        slot.task = None
        if running.row is None:
            status, why = ("interrupted", "stopped by the user") if self._stops else ("error", reason)
            if not running.facts:
                self._started(running, first_values(running.planned.spec))
            if running.observer and said:
                running.observer.attach("process.log", said)
            self._fail(running, status, why)
        self._settle(running)

    def _fail(self, running: Running, status: str, reason: str) -> None:
        """Make the row that the run could not make itself."""
        if not running.facts:
            self._started(running, first_values(running.planned.spec))
        results = results_from(running.history, running.planned.spec.target, {})
        self._keep(running, make_row({**running.facts, **results, "status": status, "status_reason": reason}))

    def _keep(self, running: Running, row: Row) -> None:
        """Write the row before anybody else sees it, and again with what the tracker added."""
        row |= self._identity(running.planned) | {"env_concurrency": running.concurrency}
        running.row = row
        if not self._stays(running.planned, row):
            self._results.keep_history(running.planned.key, row, running.history, self._view.warn)
        self._write(running.planned, row, last=running.observer is None)
        if running.observer:
            running.observer.finished(row, running.history)
            self._write(running.planned, row)

    def _settle(self, running: Running) -> None:
        assert running.row is not None
        if status_of(running.row).ended:
            self._results.forget_checkpoints(running.planned.key)
        with contextlib.suppress(OSError):
            running.claim.release()
        seconds = _seconds(running.planned)
        self._outlook.over(seconds, time.monotonic() - running.began)
        self._view.finished(running.bar, self._labels.full(running.planned), running.row, self._outlook.seconds)

    # Rows.

    def _without_training(self, planned: Planned, status: str, reason: str) -> None:
        """A row of a run that cannot even begin."""
        planned.action, planned.reason = "skip", reason
        values = first_values(planned.spec) | self._identity(planned)
        self._write(planned, make_row({**values, "status": status, "status_reason": reason}))

    def _identity(self, planned: Planned) -> dict[str, Any]:
        suite = self._plan.suite
        trial = {} if suite.save else {"env_trial": True}
        return {"env_suite": suite.name, "suite_version": suite.version, **trial, **planned.facts}

    def _write(self, planned: Planned, row: Row, last: bool = True) -> None:
        """Keep the row; a disk that filled up costs no other run, and what is ``last`` of it goes to stderr instead."""
        self.rows[planned.key] = make_row(row)
        if self._stays(planned, row):
            return
        try:
            self._results.write(planned.key, row)
        except (UserError, OSError) as error:
            if last:
                self._view.warn(f"{error}; that is tried again in the end, and this is the row:")
                typer.echo(json.dumps(row, ensure_ascii=False), err=True)

    def _stays(self, planned: Planned, row: Row) -> bool:
        """Whether the finished row of an earlier start stays, because the new one has no result."""
        return planned.finished and row["status"] in ("interrupted", "skipped")

    def _write_again(self) -> None:
        """Keep the rows that the folder lacks in the end: it was full for a while, or it was deleted."""
        for planned in self._plan.runs:
            row = self.rows.get(planned.key)
            if row and self._results.read(planned.key) is None:
                try:
                    self._results.write(planned.key, row)
                except (UserError, OSError) as error:
                    self._view.warn(f"{error}; the run will be made again")

    @contextlib.contextmanager
    def _stopping(self, pool: Pool) -> Iterator[None]:
        """Ctrl-C ends the runs under way and starts no other; the second one at once."""

        def stop(number: int, frame: object) -> None:
            self._stops += 1
            if self._stops > 1:
                raise KeyboardInterrupt
            for slot in pool.busy:
                slot.interrupt()

        with handlers_kept(*STOPS, handler=stop):
            yield


def _seconds(planned: Planned) -> float:
    return planned.estimate.seconds if planned.estimate else 0.0
