"""The table of a baseline of the regression gate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pdadmm_bench.report.table import Cell, Column, Table


@dataclass(frozen=True)
class BaselineEntry:
    """One benchmark of a baseline. Values are means over its seeds; None stands for what was not recorded."""

    name: str
    version: str
    seeds: int
    accuracy: float | None
    loss: float | None
    """At the last iteration."""
    sent_bytes: int
    """In one iteration, by all workers."""
    state_bytes: int
    seconds: float | None
    """Median of one iteration."""


def baseline_table(entries: Iterable[BaselineEntry]) -> Table:
    """A line per benchmark. Bytes are shown in full, since the gate reports a change of a single byte."""
    heads = [
        Column("benchmark"), Column("version"), Column("seeds", "count"), Column("test accuracy", "accuracy"),
        Column("last loss", "factor"), Column("bytes", "count"), Column("state", "count"),
        Column("iteration", "seconds"),
    ]  # fmt: skip
    lines = [
        [
            Cell(entry.name), Cell(entry.version), Cell(entry.seeds), Cell(entry.accuracy), Cell(entry.loss),
            Cell(entry.sent_bytes), Cell(entry.state_bytes), Cell(entry.seconds),
        ]
        for entry in entries
    ]  # fmt: skip
    return Table("baseline", "", heads, lines)
