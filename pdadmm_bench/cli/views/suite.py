"""What a user sees while a suite goes on: a line per finished run, and on a terminal the runs that are under way."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.progress import TaskID

from pdadmm_bench.cli.views import console
from pdadmm_bench.cli.views.bars import BarView
from pdadmm_bench.cli.views.live import run_line
from pdadmm_bench.cli.views.suite_plan import show_plan
from pdadmm_bench.core.eta import kind_of
from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.report import render
from pdadmm_bench.report.tables.progress import Standings
from pdadmm_bench.report.tables.summary import summarise, summary_table
from pdadmm_bench.report.units import duration
from pdadmm_bench.suite.labels import RunLabels, network
from pdadmm_bench.suite.plan import Plan
from pdadmm_bench.suite.progress import SecondsLeft
from pdadmm_bench.suite.results import untimed

MOST_LINES = 80
"""The most lines of the final table; a larger table is left to ``report``."""


class SuiteView(BarView):
    """Shows one suite (:class:`~pdadmm_bench.suite.progress.SuiteProgress`). Bars are redrawn only on an event.

    Args:
        quiet: show only what failed, warnings and the final table.
        stderr, stdout: consoles to write to (for tests).
    """

    def __init__(self, *, quiet: bool, stderr: Console | None = None, stdout: Console | None = None):
        super().__init__(quiet=quiet, stderr=stderr, stdout=stdout)
        self._all: TaskID | None = None
        self._bar_of: dict[str, TaskID] = {}
        self._total = self._done = self._failed = 0
        self._plan: Plan | None = None
        self._standings = Standings()
        self._kinds: dict[str, str] = {}
        """The kind of each run, by its key."""
        self._shown = ""
        """The run whose problem the standings are of: the one that began last."""
        self._next_table = 0.0

    def plan(self, plan: Plan, jobs: int, where: str, dry_run: bool) -> None:
        """Print the plan: on standard output where it is all that is asked for."""
        self._plan = plan
        if dry_run:
            show_plan(plan, jobs, f"{where}; nothing started", self.stdout)
        elif not self.quiet:
            # Off a terminal, rich would fold the table to 80 columns.
            wide = self.stderr if self.stderr.is_terminal else Console(stderr=True, width=200)
            show_plan(plan, jobs, where, wide)

    def begin(self, total: int, seconds_left: SecondsLeft) -> None:
        """Show a bar over all runs."""
        self._total, self._seconds_left = total, seconds_left
        planned = [run for run in self._plan.runs if run.action != "skip"] if self._plan else []
        labels = RunLabels(planned)
        for run in planned:
            kind = self._kinds[run.key] = kind_of(run.spec)
            label = f"{run.spec.optimizer} {labels.setting(run, workers=True)}".strip()
            self._standings.expect(kind, label, f"{run.spec.data.dataset} {network(run.spec)}")
            if run.action == "finished" and run.row:
                self._standings.finished(kind, run.row)
        if self.live:
            self.bars.start()
            self._all = self.bars.add_task("all runs", total=total, facts=self._facts())
            self.bars.refresh()

    def end(self) -> None:
        """Take the bars away."""
        if self.live:
            self.bars.stop()

    def started(self, key: str, name: str, iterations: int) -> None:
        """Show a bar for the run."""
        if self.live:
            self._bar_of[key] = self.bars.add_task(name, total=iterations, facts="")
            self._shown = key
            self._show_standings(key)

    def stepped(self, key: str, iteration: int, total: int, facts: str) -> None:
        """Move the run's bar."""
        if key in self._bar_of:
            self.bars.update(self._bar_of[key], total=total, completed=iteration, facts=facts)
            if time.monotonic() >= self._next_table:
                self._show_standings(self._shown)
            self.bars.refresh()

    def finished(self, key: str, name: str, row: Row) -> None:
        """Replace the run's bar by one line about its end, and about how long the others will take."""
        self._done += 1
        self._failed += status_of(row).failed
        if key in self._bar_of:
            self.bars.remove_task(self._bar_of.pop(key))
        if key in self._kinds:
            self._standings.finished(self._kinds[key], row)
        if self._all is not None:
            self._show_standings(key)
            self.bars.refresh()
        fine = status_of(row).complete
        if not (self.quiet and fine):
            (shown,) = untimed([row])
            rest = "" if self.live or self._done == self._total else f"  ({self._facts()})"
            style = "" if fine else "yellow" if row["status"] == "skipped" else "red"
            self.say(f"[{self._done}/{self._total}] {run_line(shown, name)}{rest}", style)

    def made_elsewhere(self, key: str, name: str, row: Row) -> None:
        """Count the run, and say that another process made it."""
        self._done += 1
        self._standings.finished(self._kinds[key], row)
        if self._all is not None:
            self.bars.update(self._all, completed=self._done)
        self.note(f"[{self._done}/{self._total}] {name}: {row['status']}, made by another process")

    def _facts(self) -> str:
        """How many runs failed, and how long the others will take."""
        left = self._left()
        parts = [f"{self._failed} failed"] if self._failed else []
        return ", ".join([*parts, *([f"{left} left"] if left else [])])

    def _left(self, kind: str | None = None) -> str:
        left = self._seconds_left(kind)
        return "" if left is None else duration(left)

    def _show_standings(self, key: str) -> None:
        """Renew the standings of the problem of a run, and the bar over all runs; once a second is enough."""
        assert self._all is not None
        self.bars.update(self._all, completed=self._done, facts=self._facts())
        self.bars.below = render.terminal(self._standings.table(self._kinds[key], self._left))
        self._next_table = time.monotonic() + 1

    def unsaved(self, row: Row) -> None:
        """Print the row itself, so that it is not lost."""
        typer.echo(json.dumps(row, ensure_ascii=False), err=True)

    def summary(self, rows: Sequence[Row]) -> None:
        """The table of the suite's rows, where it fits a screen or two."""
        shown = [row for row in rows if row["status"] != "skipped"]
        lines = len(summarise(shown))
        if 0 < lines <= MOST_LINES:
            console.show(summary_table(shown), console=self.stdout)
        elif lines:
            self.note(f"the table of these rows has {lines} lines and is not shown here")
