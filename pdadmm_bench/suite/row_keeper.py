"""The rows of one start of a suite: written once a run has ended, and again where writing failed."""

from __future__ import annotations

from typing import Any

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row, first_values, make_row, status_of
from pdadmm_bench.suite.plan import Plan, PlannedRun
from pdadmm_bench.suite.progress import SuiteProgress
from pdadmm_bench.suite.results import Results


class RowKeeper:
    """Writes the row of every run to the results folder, and keeps those of this start in memory."""

    def __init__(self, plan: Plan, results: Results, progress: SuiteProgress):
        self._plan, self._results, self._progress = plan, results, progress
        self.rows: dict[str, Row] = {}
        """The rows of the runs of this start, by key."""

    def identity(self, planned: PlannedRun) -> dict[str, Any]:
        """The row values that say which run of which suite this is."""
        suite = self._plan.suite
        trial = {} if suite.save else {"env_trial": True}
        return {"env_suite": suite.name, "suite_version": suite.version, **trial, **planned.facts}

    def skip(self, planned: PlannedRun, status: str, reason: str) -> None:
        """Write the row of a run that cannot begin."""
        planned.action, planned.reason = "skip", reason
        values = first_values(planned.spec) | self.identity(planned)
        self.write(planned, make_row({**values, "status": status, "status_reason": reason}))

    def write(self, planned: PlannedRun, row: Row, last: bool = True) -> None:
        """Write the row of a run. A full disk does not end the suite.

        Args:
            last: whether this is the last attempt while the run is under way: a row that cannot be written is then
                shown to the user.
        """
        self.rows[planned.key] = make_row(row)
        if _earlier_row_stays(planned, row):
            return
        try:
            self._results.write(planned.key, row)
        except (UserError, OSError) as error:
            if last:
                self._progress.warn(f"{error}; that is tried again in the end, and this is the row:")
                self._progress.unsaved(row)

    def write_history(self, planned: PlannedRun, row: Row, steps: History) -> None:
        """Write the steps of a run beside its row. A full disk costs a warning."""
        if not _earlier_row_stays(planned, row):
            self._results.keep_history(planned.key, row, steps, self._progress.warn)

    def write_again(self) -> None:
        """Write the rows that the folder lacks at the end: the disk was full for a while, or a file was deleted."""
        for planned in self._plan.runs:
            row = self.rows.get(planned.key)
            if row and self._results.read(planned.key) is None:
                try:
                    self._results.write(planned.key, row)
                except (UserError, OSError) as error:
                    self._progress.warn(f"{error}; the run will be made again")

    def made_elsewhere(self, planned: PlannedRun) -> bool:
        """Whether another process has made the run since the plan was made; its row is then kept."""
        before = planned.row and planned.row["run_id"]
        planned.row = self._results.read(planned.key)
        if planned.row is None or planned.row["run_id"] == before or planned.row["status"] == "interrupted":
            return False
        self.rows[planned.key] = planned.row
        return True


def _earlier_row_stays(planned: PlannedRun, row: Row) -> bool:
    """Whether the finished row of an earlier start stays, because the new one has no result."""
    return planned.finished and not status_of(row).tried
