"""Measures the entries of one ``profile``, one after the other, with progress on stderr, and shows what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from pdadmm_bench.cli.views.console import show
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable
from pdadmm_bench.core.rows import Row, exit_code, write_rows
from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.report.figures.speed import speed_figure
from pdadmm_bench.report.tables.speed import iteration_tables, target_table
from pdadmm_bench.timing.speed_file.entry import Bench, SpeedEntry
from pdadmm_bench.timing.speed_file.file import measured

PICTURES = (".png", ".svg", ".pdf")


@dataclass
class ProfileSession:
    """One invocation: where data comes from and results go, and the rows so far."""

    entries: Sequence[SpeedEntry]
    budget_s: float
    data_root: Path | None = None
    cache: Path | None = None
    offline: bool = False
    json_file: Path | None = None
    plot: Path | None = None
    rows: list[Row] = field(default_factory=list)
    _loaded: dict[str, Problem] = field(default_factory=dict)

    def run(self, detailed: bool) -> int:
        """Measure and show, with all there is of a single entry if ``detailed``; returns the exit code.

        0, also when targets were missed; 1 when a measurement failed; 130 after Ctrl-C, with what there was by then.
        """
        if self.plot and self.plot.suffix not in PICTURES:
            raise UserError(f"--plot {self.plot}: the name ends in one of {', '.join(PICTURES)}")
        for path in (self.json_file, self.plot):
            if path:
                check_writable(path)
        with _Progress(len(self.entries)) as progress:
            for number, entry in enumerate(self.entries, 1):
                progress.begin(entry.name, number)
                row, error = measured(entry, Bench(self._load, progress.on_progress, self.budget_s))
                if detailed and isinstance(error, UserError):
                    raise error
                self.rows.append(row)
                if row["status"] != "ok":
                    progress.say(f"{entry.name}: {row['status']}, {row['status_reason']}")
                if self.json_file:
                    write_rows(self.json_file, self.rows)
                if row["status"] == "interrupted":
                    break
        self._show(detailed)
        return exit_code(self.rows)

    def _load(self, spec: DataSpec) -> Problem:
        """The rows of a dataset; the last one stays, since entries on the same data follow each other."""
        key = spec.model_dump_json()
        if key not in self._loaded:
            self._loaded.clear()
            self._loaded[key] = load_problem(spec, data_root=self.data_root, cache=self.cache, offline=self.offline)
        return self._loaded[key]

    def _show(self, detailed: bool) -> None:
        show(*(iteration_tables(self.rows[0]) if detailed else [target_table(self.rows)]))
        if self.plot:
            speed_figure(self.rows).savefig(self.plot)


class _Progress:
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

    def __enter__(self) -> _Progress:
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
