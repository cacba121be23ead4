"""One run of a suite while another process makes it: its events, its tracking and its row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pdadmm_bench.core.eta import fraction_done, kind_of
from pdadmm_bench.core.rows import Row
from pdadmm_bench.suite.plan import PlannedRun
from pdadmm_bench.suite.progress import SuiteProgress
from pdadmm_bench.suite.results import Claim, Results
from pdadmm_bench.suite.row_keeper import RowKeeper
from pdadmm_bench.tracking.suite import SuiteTracker
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.relay import RelayedRun


class ActiveRun(RelayedRun):
    """A run from the moment at which it is given to a process until its row is written.

    Args:
        concurrency: how many runs may be made at once.
        tracker: None where nothing is tracked.
    """

    def __init__(
        self, planned: PlannedRun, claim: Claim, concurrency: int, keeper: RowKeeper, results: Results,
        tracker: SuiteTracker | None, progress: SuiteProgress,
    ):  # fmt: skip
        super().__init__(planned.spec, self._tracked)
        self.planned, self.claim = planned, claim
        self.concurrency = concurrency
        """The most runs at once since it began. Runs of other processes that work on the suite are included."""
        self.began = time.monotonic()
        self.kind, self.done = kind_of(planned.spec), 0.0
        """What other runs it is like, and the fraction of it that is done."""
        self._keeper, self._results, self._tracker, self._progress = keeper, results, tracker, progress

    def handle(self, event: str, content: Sequence[Any]) -> None:
        """Handle an event that the :class:`~pdadmm_bench.training.relay.Relay` of the run sends, and show it."""
        if event == "finished":
            self._keep(*content)
            return
        super().handle(event, content)
        if event == "on_message":
            self._progress.report(*content)
        elif event == "on_warm_start_step":
            layers, step = content
            total = dict(self.spec.stages())[layers]
            self.done = fraction_done(self.spec, int(step["iteration"]), layers)
            self._progress.stepped(self.planned.key, int(step["iteration"]), total, f"warm start, {layers} layers")
        elif event == "stepped":
            known = next((step["acc_val"] for step in reversed(self.history) if "acc_val" in step), None)
            facts = "" if known is None else f"val {100 * known:.1f} %"
            done = int(self.history[-1]["iteration"])
            self.done = fraction_done(self.spec, done)
            self._progress.stepped(self.planned.key, done, self.spec.iterations, facts)

    def _tracked(self) -> list[Observer]:
        """The observers that track the run, which has just started."""
        if self.spec.gpus == 1:
            self.began = time.monotonic()  # a process makes many runs, so its start counts for none of them
        if self._tracker is None:
            return []
        return [self._tracker.observer_of(self.planned.key, self._results.files(self.planned.key))]

    def _keep(self, row: Row) -> None:
        """Write the row before it is sent anywhere, and write it again with the ids that the tracker added."""
        row |= self._keeper.identity(self.planned) | {"env_concurrency": self.concurrency}
        self._keeper.write_history(self.planned, row, self.history)
        self._keeper.write(self.planned, row, last=not self.observers)
        super().handle("finished", [row])
        if self.observers:
            self._keeper.write(self.planned, row)
