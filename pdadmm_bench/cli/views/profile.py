"""What ``profile`` shows: progress on stderr while entries are measured, then the tables and the figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from pdadmm_bench.cli.views.console import show
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.speed import speed_figure
from pdadmm_bench.report.tables.speed import iteration_tables, target_table

PICTURES = (".png", ".svg", ".pdf")


def check_plot(plot: Path) -> None:
    """Raise :class:`UserError` for a file that no figure can be drawn into."""
    if plot.suffix not in PICTURES:
        raise UserError(f"--plot {plot}: the name ends in one of {', '.join(PICTURES)}")
    check_writable(plot)


def show_profile(rows: Sequence[Row], plot: Path | None, *, detailed: bool) -> None:
    """Print the tables: all there is of one entry if ``detailed``, else every figure beside its target."""
    show(*(iteration_tables(rows[0]) if detailed else [target_table(rows)]))
    if plot:
        speed_figure(rows).savefig(plot)


class ProfileProgress:
    """A bar on a terminal, a line per entry elsewhere; drawn between measurements, never by a thread of its own."""

    def __init__(self, total: int):
        self._total = total
        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[doing]}", markup=False),
        )  # fmt: skip
        self._bar = Progress(*columns, console=self._console, auto_refresh=False, transient=True)
        self._task = self._bar.add_task("", total=None, doing="")

    def __enter__(self) -> ProfileProgress:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def begin(self, name: str, number: int) -> None:
        """The next entry."""
        place = f"[{number}/{self._total}] " if self._total > 1 else ""
        if self._console.is_terminal:
            self._bar.reset(self._task, description=place + name)
        elif place:
            typer.echo(place + name, err=True)

    def on_progress(self, what: str, done: int, total: int) -> None:
        """How far the entry is."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, total=total, doing=what)
            self._bar.refresh()

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(Text(line, "yellow"), soft_wrap=True)
