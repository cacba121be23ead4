"""What runs left behind: their rows and steps, and the ways to look at them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core import history as histories
from pdadmm_bench.core.rows import Row, compressed, write_rows
from pdadmm_bench.report.figures.convergence import Histories, comparison_picture
from pdadmm_bench.report.table import Table
from pdadmm_bench.report.tables.summary import summary_table
from pdadmm_bench.stats.pairing import rows_with

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True)
class ShownTable:
    """A table that a terminal shows as text and a notebook as HTML."""

    table: Table

    def __str__(self) -> str:
        from rich.console import Console

        from pdadmm_bench.report import render

        console = Console(file=io.StringIO(), width=200)
        console.print(render.terminal(self.table))
        assert isinstance(console.file, io.StringIO)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())

    __repr__ = __str__

    def markdown(self) -> str:
        """The table as Markdown, with its notes."""
        from pdadmm_bench.report import render

        return render.markdown(self.table)

    def _repr_html_(self) -> str:
        from pdadmm_bench.report import render

        return render.html(self.table)


@dataclass(frozen=True)
class Results(Sequence[Row]):
    """The result rows of runs, in order, with their steps; ``a + b`` has the rows of both."""

    rows: list[Row]
    histories: Histories = field(default_factory=dict)
    """The steps of each run by its ``run_id``: time, accuracy, loss, objective and residual of every iteration."""

    def __getitem__(self, place: Any) -> Any:
        """As of a list: a row, or for a slice a list of rows."""
        return self.rows[place]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __add__(self, other: Results) -> Results:
        return Results([*self.rows, *other.rows], {**self.histories, **other.histories})

    def only(self, **settings: object) -> Results:
        """The runs with these settings, as in ``results.only(optimizer="adam", seed=0)``.

        Raises :class:`~pdadmm_bench.core.errors.UserError` where no run has them.
        """
        texts = [f"{name}={value}" for name, value in settings.items()]
        return Results(rows_with(self.rows, texts, "results"), self.histories)

    def frame(self) -> DataFrame:
        """A pandas frame: a line per run, a column per value of the row (docs/rows.md)."""
        from pandas import DataFrame

        return DataFrame(self.rows)

    def steps(self) -> DataFrame:
        """A pandas frame: a line per iteration, with ``run_id``, ``optimizer_name`` and ``seed``.

        Its columns are named as the metrics in MLflow: ``time_iteration_s``, ``time_train_s`` (from the start of the
        run), ``acc_val``, ``loss_train`` and so on (docs/tracking.md); ``acc_test`` is no metric there.
        """
        from pandas import DataFrame

        return DataFrame(
            {name: row[name] for name in ("run_id", "optimizer_name", "seed")}
            | {histories.NAMES.get(name, name): value for name, value in step.items()}
            for row in self.rows
            for step in self.histories.get(row["run_id"], ())
        )

    def table(self) -> ShownTable:
        """The table that the command ends with: a line per setting over its seeds, with interval and n."""
        return ShownTable(summary_table(self.rows))

    def plot(self) -> Figure:
        """A matplotlib figure: validation accuracy by iteration and by training seconds."""
        from pdadmm_bench.report.figures.draw import figure

        runs = [(row, self.histories[row["run_id"]]) for row in self.rows if row["run_id"] in self.histories]
        return figure(comparison_picture(runs))

    def save(self, path: str | Path) -> None:
        """Write the rows to a file that every verb of the command reads, and the steps beside it.

        Args:
            path: where it ends in ``.json.gz``, rows and steps are two compressed files, to be kept with code.
        """
        path = Path(path)
        write_rows(path, self.rows)
        histories.forget(path)
        if compressed(path):
            histories.write_archive(histories.archive(path), self.histories)
            return
        for run_id, steps in self.histories.items():
            histories.write(histories.beside_rows(path, run_id), run_id, steps)

    def __repr__(self) -> str:
        return str(self.table()) if self.rows else "no runs"

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def read(source: str | Path, tracking_uri: str | None = None) -> Results:
    """The runs of a rows file, of a suite (its name or folder), or of an MLflow experiment or run.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for a name that is none of them.
    """
    from pdadmm_bench.cli.sources import read_sources  # imports MLflow, which takes seconds

    found = read_sources([str(source)], tracking_uri)
    return Results(found.rows, found.histories())


def rows_of(results: Sequence[Row] | str | Path) -> Results:
    """Results, rows, or what a path or name stands for."""
    if isinstance(results, Results):
        return results
    return read(results) if isinstance(results, (str, Path)) else Results(list(results))
