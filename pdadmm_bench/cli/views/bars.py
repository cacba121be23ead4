"""Progress bars and lines on standard error: what the views of a run and of a suite have in common."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from pdadmm_bench.cli.views import console


class _Bars(Progress):
    """Progress bars, and below them a table. On a terminal that is too low the end of the table is cut, not a bar."""

    below: RenderableType | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.below is not None:
            yield self.below


class BarView:
    """Bars on a terminal, and lines above them. The bars are redrawn only when a subclass says so.

    A thread of their own would take time from the iteration that is being measured.

    Args:
        quiet: show only warnings, and what a subclass shows all the same.
        stderr, stdout: consoles to write to (for tests).
    """

    def __init__(self, *, quiet: bool, stderr: Console | None = None, stdout: Console | None = None):
        self.stderr = stderr or Console(stderr=True)
        self.stdout = stdout or console.stdout()
        self.quiet = quiet
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),  # as wide as the numbers beside it allow
            MofNCompleteColumn(table_column=Column(no_wrap=True)),  # on a narrow terminal the bar is shorter
            TextColumn("{task.fields[facts]}", markup=False),
        )
        self.bars = _Bars(*columns, console=self.stderr, auto_refresh=False, transient=True, expand=True)
        self.live = self.stderr.is_terminal and not quiet
        """Whether there are bars."""

    def note(self, message: str) -> None:
        """Show a line, such as the progress of a download; not when quiet."""
        if not self.quiet:
            self.say(message)

    def report(self, message: str) -> None:
        """Show a line of the data layer or of a run: a warning where it begins with ``warning: ``, else a note."""
        text = message.removeprefix("warning: ")
        (self.note if text == message else self.warn)(text)

    def warn(self, message: str) -> None:
        """Show a warning, also when quiet."""
        self.say(f"warning: {message}", "yellow")

    def say(self, line: str, style: str = "") -> None:
        """Show a line above the bars."""
        # Text, not markup: a dataset may be called sbm[nodes=2000].
        self.stderr.print(Text(line, style=style), soft_wrap=True)
