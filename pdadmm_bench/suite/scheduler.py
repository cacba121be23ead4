"""Makes the runs of a plan: decides which process makes which run when, and ends so that nothing is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.eta import EtaEstimate, Underway, kind_of
from pdadmm_bench.core.options import Output
from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.core.signals import STOPS, handlers_kept
from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.data.cache import using_cache
from pdadmm_bench.data.load import look_for
from pdadmm_bench.suite.active_run import ActiveRun
from pdadmm_bench.suite.labels import RunLabels, runs
from pdadmm_bench.suite.plan import Plan, PlannedRun
from pdadmm_bench.suite.pool import DONE, GONE, Pool, WorkerProcess
from pdadmm_bench.suite.progress import SuiteProgress
from pdadmm_bench.suite.results import Results
from pdadmm_bench.suite.row_keeper import RowKeeper
from pdadmm_bench.suite.worker import Make, Prepare, work
from pdadmm_bench.tracking.suite import SuiteTracker
from pdadmm_bench.training.code_version import code_version

POLL_S = 0.5
GRACE_S = 20.0
"""How long runs have to end after Ctrl-C before they are killed."""


class Scheduler:
    """Makes the runs of one start of a suite.

    Args:
        tracker: None where nothing is tracked.
        output: where runs take their data from.
        jobs: how many runs are made at once.
        again: whether finished runs are made again (``--force``).
    """

    def __init__(
        self, plan: Plan, results: Results, tracker: SuiteTracker | None, progress: SuiteProgress, output: Output,
        jobs: int, again: bool,
    ):  # fmt: skip
        self._plan, self._results, self._tracker, self._progress = plan, results, tracker, progress
        self._output, self._jobs, self._again = output, jobs, again
        self._keeper = RowKeeper(plan, results, progress)
        self._labels = RunLabels(plan.runs)
        self._pending: list[PlannedRun] = []
        self._active: dict[WorkerProcess, ActiveRun] = {}
        self._stops = 0
        self._halted = False
        self._told_waiting = False

    @property
    def rows(self) -> dict[str, Row]:
        """The rows of this start, by key of their run."""
        return self._keeper.rows

    def run(self) -> int:
        """Make the runs; returns the exit code: 0, 1 when a run failed or was not reached, 130 after Ctrl-C."""
        for planned in self._plan.runs:
            if planned.action == "skip":
                self._keeper.skip(planned, "skipped", planned.reason or "")
        self._adopt()
        pool = Pool(self._jobs, work, self._output.dist_timeout)
        with using_cache(self._output.cache), pool, self._stopping(pool):
            self._prepare(pool)
            self._pending = [run for run in self._plan.to_make() if run.key not in self.rows]
            self._jobs = max(1, min(self._jobs, len(self._pending)))
            predicted = [(kind_of(run.spec), run.estimate.seconds if run.estimate else None) for run in self._pending]
            self._eta = EtaEstimate(predicted, self._jobs)
            self._progress.begin(len(self._pending), self._seconds_left)
            try:
                self._make_all(pool)
            finally:
                self._progress.end()
                self._keeper.write_again()
        if self._stops:
            return 130
        return int(self._halted or any(status_of(row).failed for row in self.rows.values()))

    # Before the first run: what a killed process left behind, and the data.

    def _adopt(self) -> None:
        """End the MLflow runs whose process was killed after it had written the row and before it ended the run."""
        for planned in self._plan.runs:
            if self._tracker and planned.finished and self._results.noted(planned.key):
                claim = self._results.claim(planned.key)
                if claim is None:
                    continue
                if claim.left_behind and planned.row:
                    self._tracker.abandon(claim.left_behind, planned.key, but=planned.row["run_id"])
                claim.release()

    def _prepare(self, pool: Pool) -> None:
        """Fetch and compute the data that is not in the cache; skip the runs whose data cannot be obtained."""
        waiting: dict[DataSpec, list[PlannedRun]] = {}
        for run in self._plan.to_make():
            if not run.found.ready:
                waiting.setdefault(run.spec.data, []).append(run)
        for data, members in waiting.items():
            if self._stops:
                return
            worker = pool.workers[0]
            worker.give(Prepare(data, self._output))
            outcome = self._prepared(pool)
            if outcome is None:
                found = look_for(data, data_root=self._output.data_root, cache=self._output.cache)
                for run in members:
                    run.found = found
                    run.look(self._results, self._progress.warn)
                    if run.finished and not self._again:
                        run.action = "finished"
            elif not self._stops:
                status, reason = outcome
                what = "skipped" if status == "skipped" else "not possible"
                self._progress.warn(f"{runs(len(members))} on {data.dataset} {what}: {reason}")
                for run in members:
                    self._keeper.skip(run, status, reason)

    def _prepared(self, pool: Pool) -> tuple[str, str] | None:
        """Wait for the data; returns status and reason if they cannot be obtained."""
        while True:
            for worker, event, content in pool.events(POLL_S):
                if event == GONE:
                    worker.end()
                    content = ("error", f"preparing the data: {content}")
                if event in (DONE, GONE):
                    worker.task = None
                    return content
                if event == "on_message":
                    self._progress.report(*content)
                worker.acknowledge()

    # The runs.

    def _make_all(self, pool: Pool) -> None:
        active = self._active
        deadline = None
        while True:
            if self._stops or self._halted:
                self._pending = []
            if self._stops and deadline is None:
                deadline = time.monotonic() + GRACE_S
                self._progress.note(
                    "stopping: what is finished stays; Ctrl-C again does not wait for the runs under way"
                )
            waiting = self._dispatch(pool)
            if not active:
                if not self._pending:
                    return
                if waiting:
                    time.sleep(POLL_S)
                continue
            for worker, event, content in pool.events(POLL_S):
                if event == DONE:
                    self._over(worker, active.pop(worker), content)
                elif event == GONE:
                    self._gone(worker, active.pop(worker), content)
                else:
                    active[worker].handle(event, content)
                    worker.acknowledge()
            if deadline is not None and time.monotonic() > deadline:
                for worker in list(active):
                    self._gone(worker, active.pop(worker), "")

    def _dispatch(self, pool: Pool) -> bool:
        """Give runs to free processes; returns whether all runs that are left are made by other processes."""
        active, elsewhere = self._active, 0
        for worker in pool.free:
            run, elsewhere = self._next()
            if run is None:
                break
            active[worker] = run
            planned = run.planned
            self._progress.started(planned.key, self._labels.full(planned), planned.spec.iterations)
            checkpoint = self._results.checkpoints(planned.key, planned.threads)
            worker.give(Make(planned.spec, planned.threads, self._output.model_copy(update={"checkpoint": checkpoint})))
        at_once = len(active) + elsewhere
        for run in active.values():
            run.concurrency = max(run.concurrency, at_once)
        waiting = bool(self._pending) and elsewhere == len(self._pending) and not active
        if waiting and not self._told_waiting:
            self._progress.note(f"waiting for {runs(elsewhere)} that another process is making")
            self._told_waiting = True
        return waiting

    def _next(self) -> tuple[ActiveRun | None, int]:
        """The next run that no other process makes, and the number of runs before it that other processes make."""
        elsewhere = 0
        for planned in list(self._pending):
            claim = self._results.claim(planned.key)
            if claim is None:
                elsewhere += 1
                continue
            self._pending.remove(planned)
            if self._keeper.made_elsewhere(planned):
                self._eta.over(kind_of(planned.spec), 0.0)
                self._progress.made_elsewhere(planned.key, self._labels.full(planned), self.rows[planned.key])
                claim.release()
                continue
            if code_version(planned.spec.optimizer) != planned.code:
                claim.release()
                self._halt()
                return None, elsewhere
            if self._tracker:
                if claim.left_behind:
                    self._tracker.abandon(claim.left_behind, planned.key)
                with contextlib.suppress(UserError):  # a full disk; writing the row will report it
                    claim.note(self._tracker.parent_id)
            parts = (self._keeper, self._results, self._tracker, self._progress)
            return ActiveRun(planned, claim, self._jobs, *parts), elsewhere
        return None, elsewhere

    def _halt(self) -> None:
        self._halted = True
        self._progress.warn(
            "the code changed while the suite was running, and the rows to come would not be of the code they name: "
            f"{runs(len(self._pending) + 1)} not made; start the suite again"
        )

    def _over(self, worker: WorkerProcess, run: ActiveRun, outcome: tuple[str, str] | None) -> None:
        """Handle the end of a task: its process is free again."""
        worker.task = None
        if run.row is None:
            run.fail(*(outcome or ("error", "the run ended without a row")))
        assert run.row is not None
        if status_of(run.row).crashed:
            worker.end()  # what is left of a failure must not reach the next run
        self._settle(run)

    def _gone(self, worker: WorkerProcess, run: ActiveRun, reason: str) -> None:
        """Handle a process that has ended, or has to be ended."""
        said = "" if self._stops else worker.printed()
        worker.end()
        worker.task = None
        if run.row is None:
            status, why = ("interrupted", "stopped by the user") if self._stops else ("error", reason)
            run.fail(status, why, {"process.log": said} if said else None)
        self._settle(run)

    def _settle(self, run: ActiveRun) -> None:
        """The row is written: give up the claim, and show the end of the run."""
        assert run.row is not None
        if status_of(run.row).ended:
            self._results.forget_checkpoints(run.planned.key)
        with contextlib.suppress(OSError):
            run.claim.release()
        self._eta.over(run.kind, time.monotonic() - run.began if status_of(run.row).complete else 0.0)
        self._progress.finished(run.planned.key, self._labels.full(run.planned), run.row)

    def _seconds_left(self, kind: str | None) -> float | None:
        now = time.monotonic()
        return self._eta.seconds([Underway(run.kind, now - run.began, run.done) for run in self._active.values()], kind)

    @contextlib.contextmanager
    def _stopping(self, pool: Pool) -> Iterator[None]:
        """On Ctrl-C, interrupt the runs under way and start no other; a second Ctrl-C ends at once."""

        def stop(number: int, frame: object) -> None:
            self._stops += 1
            if self._stops > 1:
                raise KeyboardInterrupt
            for worker in pool.busy:
                worker.interrupt()

        with handlers_kept(*STOPS, handler=stop):
            yield
