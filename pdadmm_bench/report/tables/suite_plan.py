"""The table of a suite's plan: a line per setting, what becomes of its runs, and their predicted time and memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pdadmm_bench.report.table import Cell, Column, Table


@dataclass(frozen=True)
class SuitePlanLine:
    """The runs of one setting over its seeds; what is not known, or is nothing, is None."""

    dataset: str
    optimizer: str
    network: str
    setting: str | None
    """What else distinguishes it from the others."""
    workers: int
    partition: str | None
    threads: int
    runs: int
    finished: int | None
    skipped: int | None
    to_make: int | None
    seconds: float | None
    """Predicted, of one run."""
    num_bytes: int | None
    """Predicted, of one run with all its workers."""


_ALL = (
    ("dataset", Column("dataset")),
    ("optimizer", Column("optimizer")),
    ("network", Column("layers × units")),
    ("setting", Column("setting")),
    ("workers", Column("workers", "count")),
    ("partition", Column("partition", "count")),
    ("threads", Column("threads", "count")),
    ("runs", Column("runs", "count")),
    ("finished", Column("finished", "count")),
    ("skipped", Column("skipped", "count")),
    ("to_make", Column("to make", "count")),
    ("seconds", Column("predicted time/run", "seconds")),
    ("num_bytes", Column("predicted memory", "bytes")),
)


def suite_plan_table(title: str, settings: Iterable[SuitePlanLine]) -> Table:
    """A line per setting; a column in which no setting has anything is left out."""
    lines = list(settings)
    kept = [(name, column) for name, column in _ALL if any(getattr(line, name) for line in lines)]
    rows = [[Cell(getattr(line, name) or "") for name, _ in kept] for line in lines]
    return Table("suite-plan", title, [column for _, column in kept], rows)
