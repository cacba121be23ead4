"""The standings while runs go on: what each optimizer has reached so far, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean

from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.report.table import Cell, Column, Table

MOST_LINES = 12
"""The most lines that are shown; of more, those of the best."""


@dataclass
class _Line:
    label: str
    problem: str
    planned: int = 0
    accuracies: list[float] = field(default_factory=list)
    over: int = 0
    failed: int = 0

    @property
    def accuracy(self) -> float | None:
        """Mean over the finished runs of the best validation accuracy."""
        return mean(self.accuracies) if self.accuracies else None


class Standings:
    """Counts runs by their kind, such as one optimizer on one dataset and network over its seeds."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def expect(self, kind: str, label: str, problem: str = "") -> None:
        """One more run of a kind will be made, or is finished already; lines are shown by problem."""
        self._lines.setdefault(kind, _Line(label, problem)).planned += 1

    def finished(self, kind: str, row: Row) -> None:
        """A run is over, however it ended."""
        line = self._lines[kind]
        line.over += 1
        line.failed += status_of(row).failed
        if status_of(row).complete and row.get("acc_val_best") is not None:
            line.accuracies.append(row["acc_val_best"])

    def table(self, kind: str, left: Callable[[str], str]) -> Table:
        """The lines of the problem that the runs of ``kind`` belong to, the best first.

        Args:
            left: how long the runs of a kind will still take, in words.
        """
        problem = self._lines[kind].problem
        mine = [(kind, line) for kind, line in self._lines.items() if line.problem == problem]
        mine.sort(key=lambda pair: pair[1].accuracy or 0.0, reverse=True)
        heads = [Column("so far"), Column("best validation accuracy, mean", "accuracy"), Column("runs"), Column("left")]
        rows = [
            [Cell(line.label), Cell(line.accuracy, n=len(line.accuracies) or None), Cell(_runs(line)),
             Cell(left(kind) if line.over < line.planned else "")]
            for kind, line in mine[:MOST_LINES]
        ]  # fmt: skip
        more = len(mine) - len(rows)
        return Table("standings", problem, heads, rows, [f"and {more} more"] if more else [], plain=True)


def _runs(line: _Line) -> str:
    return f"{line.over} of {line.planned}" + (f", {line.failed} failed" if line.failed else "")
