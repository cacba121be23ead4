"""The interface through which a suite reports its progress. The command line shows it; a suite itself never prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pdadmm_bench.core.rows import Row
from pdadmm_bench.suite.plan import Plan

SecondsLeft = Callable[[str | None], float | None]
"""How many seconds all runs, or those of a kind (:func:`pdadmm_bench.core.eta.kind_of`), will still take."""


class SuiteProgress(Protocol):
    """Receives what happens in a suite, in the order in which it happens. A run is named by its key."""

    def plan(self, plan: Plan, jobs: int, where: str, dry_run: bool) -> None:
        """The plan is made; ``where`` says where its rows go. With ``dry_run`` nothing follows."""

    def begin(self, total: int, seconds_left: SecondsLeft) -> None:
        """``total`` runs are about to be made."""

    def end(self) -> None:
        """No run is under way any more."""

    def started(self, key: str, name: str, iterations: int) -> None:
        """A run begins."""

    def stepped(self, key: str, iteration: int, total: int, facts: str) -> None:
        """A run, or its warm start, has done ``iteration`` of ``total`` iterations."""

    def finished(self, key: str, name: str, row: Row) -> None:
        """A run is over."""

    def made_elsewhere(self, key: str, name: str, row: Row) -> None:
        """Another process has made a run."""

    def note(self, message: str) -> None:
        """A message that a user may miss."""

    def warn(self, message: str) -> None:
        """A message that a user should not miss."""

    def report(self, message: str) -> None:
        """A message of the data layer or of a run; it begins with ``warning:`` where it is one."""

    def unsaved(self, row: Row) -> None:
        """A row that could not be written to its file."""

    def summary(self, rows: Sequence[Row]) -> None:
        """The rows of all chosen runs, at the end."""
