"""One run of a suite while another process makes it: its events, its tracking and its row."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pdadmm_bench.core.rows import Row, first_values, make_row
from pdadmm_bench.suite.plan import PlannedRun
from pdadmm_bench.suite.progress import SuiteProgress
from pdadmm_bench.suite.results import Claim, Results
from pdadmm_bench.suite.row_keeper import RowKeeper
from pdadmm_bench.tracking import TrackedRun
from pdadmm_bench.tracking.suite import SuiteTracker
from pdadmm_bench.training.row import Step, results_from


class ActiveRun:
    """A run from the moment at which it is given to a process until its row is written.

    Args:
        concurrency: how many runs may be made at once.
        tracker: None where nothing is tracked.
    """

    def __init__(
        self, planned: PlannedRun, claim: Claim, concurrency: int, keeper: RowKeeper, results: Results,
        tracker: SuiteTracker | None, progress: SuiteProgress,
    ):  # fmt: skip
        self.planned, self.claim = planned, claim
        self.concurrency = concurrency
        """The most runs at once since it began, with those of other processes that work on the suite."""
        self.row: Row | None = None
        self.began = time.monotonic()
        self._keeper, self._results, self._tracker, self._progress = keeper, results, tracker, progress
        self._facts: dict[str, Any] = {}
        self._history: list[Step] = []
        self._observer: TrackedRun | None = None

    def handle(self, event: str, content: Sequence[Any]) -> None:
        """Deal with what the :class:`~pdadmm_bench.training.relay.Relay` of the run tells."""
        if event == "on_message":
            self._progress.report(*content)
        elif event == "started":
            self._started(*content)
        elif event == "on_warm_start_step":
            layers, step = content
            total = dict(self.planned.spec.stages())[layers]
            self._progress.stepped(self.planned.key, int(step["iteration"]), total, f"warm start, {layers} layers")
        elif event == "stepped":
            self._stepped(*content)
        elif event == "attach":
            self.attach(*content)
        elif event == "finished":
            self._keep(*content)

    def attach(self, name: str, text: str) -> None:
        """Keep a log beside the tracked run."""
        if self._observer:
            self._observer.attach(name, text)

    def fail(self, status: str, reason: str) -> None:
        """Make the row that the run could not make itself, from the steps that are known."""
        self.ensure_started()
        results = results_from(self._history, self.planned.spec.target, {})
        self._keep(make_row({**self._facts, **results, "status": status, "status_reason": reason}))

    def ensure_started(self) -> None:
        """Begin to track a run that ended before it could tell anything."""
        if not self._facts:
            self._started(first_values(self.planned.spec))

    def _started(self, facts: Mapping[str, Any]) -> None:
        self._facts = dict(facts)
        if self.planned.spec.gpus == 1:
            self.began = time.monotonic()  # a process is started once for many runs, so its start is no time of a run
        if self._tracker:
            key = self.planned.key
            self._observer = self._tracker.observer_of(key, self._results.files(key))
            self._observer.started(self.planned.spec, self._facts)

    def _stepped(self, steps: list[Step]) -> None:
        self._history += steps
        if self._observer:
            for step in steps:
                self._observer.stepped(step)
        known = next((step["acc_val"] for step in reversed(self._history) if "acc_val" in step), None)
        facts = "" if known is None else f"val {100 * known:.1f} %"
        spec = self.planned.spec
        self._progress.stepped(self.planned.key, int(steps[-1]["iteration"]), spec.iterations, facts)

    def _keep(self, row: Row) -> None:
        """Write the row before it goes anywhere else, and again with what the tracker added."""
        row |= self._keeper.identity(self.planned) | {"env_concurrency": self.concurrency}
        self.row = row
        self._keeper.write_history(self.planned, row, self._history)
        self._keeper.write(self.planned, row, last=self._observer is None)
        if self._observer:
            self._observer.finished(row, self._history)
            self._keeper.write(self.planned, row)
