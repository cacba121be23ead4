"""What a user sees while a suite goes on: a line per finished run, and on a terminal the runs that are under way."""

from __future__ import annotations

import json
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from pdadmm_bench.cli.views import console
from pdadmm_bench.cli.views.live import run_line
from pdadmm_bench.cli.views.suite_plan import duration, show_plan
from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.report.tables.summary import summarise, summary_table
from pdadmm_bench.suite.plan import Plan
from pdadmm_bench.suite.results import untimed

MOST_LINES = 80
"""The most lines of the final table; a larger table is left to ``report``."""


class SuiteView:
    """Shows one suite (:class:`~pdadmm_bench.suite.progress.SuiteProgress`). Bars are redrawn only on an event.

    Args:
        quiet: show only what failed, warnings and the final table.
        stderr, stdout: consoles to write to (for tests).
    """

    def __init__(self, *, quiet: bool, stderr: Console | None = None, stdout: Console | None = None):
        self.stderr = stderr or Console(stderr=True)
        self._stdout = stdout or console.stdout()
        self._quiet = quiet
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
        )
        self._bars = Progress(*columns, console=self.stderr, auto_refresh=False, transient=True, expand=True)
        self._live = self.stderr.is_terminal and not quiet
        self._all: TaskID | None = None
        self._bar_of: dict[str, TaskID] = {}
        self._total = self._done = self._failed = 0

    def plan(self, plan: Plan, jobs: int, where: str, dry_run: bool) -> None:
        """Print the plan: on standard output where it is all that is asked for."""
        if dry_run:
            show_plan(plan, jobs, f"{where}; nothing started", self._stdout)
        elif not self._quiet:
            # Off a terminal, rich would fold the table to 80 columns.
            wide = self.stderr if self.stderr.is_terminal else Console(stderr=True, width=200)
            show_plan(plan, jobs, where, wide)

    def begin(self, total: int, seconds_left: float) -> None:
        """Show a bar over all runs."""
        self._total = total
        if self._live:
            self._bars.start()
            self._all = self._bars.add_task("all runs", total=total, facts=f"{duration(seconds_left)} left")
            self._bars.refresh()

    def end(self) -> None:
        """Take the bars away."""
        if self._live:
            self._bars.stop()

    def started(self, key: str, name: str, iterations: int) -> None:
        """Show a bar for the run."""
        if self._live:
            self._bar_of[key] = self._bars.add_task(name, total=iterations, facts="")

    def stepped(self, key: str, iteration: int, total: int, facts: str) -> None:
        """Move the run's bar."""
        if key in self._bar_of:
            self._bars.update(self._bar_of[key], total=total, completed=iteration, facts=facts)
            self._bars.refresh()

    def finished(self, key: str, name: str, row: Row, seconds_left: float) -> None:
        """Replace the run's bar by one line about its end, and about how long the others will take."""
        self._done += 1
        self._failed += status_of(row).failed
        if key in self._bar_of:
            self._bars.remove_task(self._bar_of.pop(key))
        facts = f"{self._failed} failed, " * bool(self._failed) + f"{duration(seconds_left)} left"
        if self._all is not None:
            self._bars.update(self._all, completed=self._done, facts=facts)
            self._bars.refresh()
        fine = status_of(row).complete
        if not (self._quiet and fine):
            (shown,) = untimed([row])
            rest = "" if self._live or self._done == self._total else f"  ({facts})"
            style = "" if fine else "yellow" if row["status"] == "skipped" else "red"
            self._say(f"[{self._done}/{self._total}] {run_line(shown, name)}{rest}", style)

    def made_elsewhere(self, name: str, row: Row) -> None:
        """Count the run, and say that another process made it."""
        self._done += 1
        if self._all is not None:
            self._bars.update(self._all, completed=self._done)
        self.note(f"[{self._done}/{self._total}] {name}: {row['status']}, made by another process")

    def note(self, message: str) -> None:
        """A line above the bars; not shown when quiet."""
        if not self._quiet:
            self._say(message)

    def report(self, message: str) -> None:
        """A line of the data layer: a warning where it says so, else a note."""
        text = message.removeprefix("warning: ")
        (self.note if text == message else self.warn)(text)

    def warn(self, message: str) -> None:
        """A warning above the bars, shown even when quiet."""
        self._say(f"warning: {message}", "yellow")

    def unsaved(self, row: Row) -> None:
        """Print the row itself, so that it is not lost."""
        typer.echo(json.dumps(row, ensure_ascii=False), err=True)

    def summary(self, rows: Sequence[Row]) -> None:
        """The table of the suite's rows, where it fits a screen or two."""
        shown = [row for row in rows if row["status"] != "skipped"]
        lines = len(summarise(shown))
        if 0 < lines <= MOST_LINES:
            console.show(summary_table(shown), console=self._stdout)
        elif lines:
            self.note(f"the table of these rows has {lines} lines and is not shown here")

    def _say(self, line: str, style: str = "") -> None:
        self.stderr.print(Text(line, style=style), soft_wrap=True)
