"""Lists of names and facts, such as those of ``list``, ``info``, ``clean`` and ``doctor``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pdadmm_bench.report.table import Cell, Column, Table, Tone

Mark = Literal["ok", "warn", "fail"]

_MARKS: dict[Mark, tuple[str, Tone]] = {"ok": ("✓", "good"), "warn": ("!", "warning"), "fail": ("✗", "bad")}


def datasets_table(rows: Iterable[tuple[str, int, int, int, int, str, str]]) -> Table:
    """A line per dataset: its name, numbers of nodes, edges, features and classes, its split and its loader."""
    numbers = [Column(name, "count") for name in ("nodes", "edges", "features", "classes")]
    heads = [Column("dataset"), *numbers, Column("split"), Column("loader")]
    return Table("datasets", "", heads, [[Cell(value) for value in row] for row in rows], plain=True)


def optimizers_table(rows: Iterable[tuple[str, str]]) -> Table:
    """A line per optimizer: its name and its summary."""
    return Table(
        "optimizers",
        "",
        [Column("optimizer"), Column("")],
        [[Cell(value) for value in row] for row in rows],
        plain=True,
    )


def facts_table(name: str, facts: Iterable[tuple[str, str]], title: str = "") -> Table:
    """Two columns without headings: what a fact is about, and the fact."""
    return Table(name, title, [Column(""), Column("")], [[Cell(key), Cell(value)] for key, value in facts], plain=True)


def cache_table(rows: Iterable[tuple[str, str, int]]) -> Table:
    """A line per kind of files in the cache: its name, what it is, and its bytes."""
    heads = [Column("kind"), Column("what"), Column("size", "bytes")]
    return Table("cache", "", heads, [[Cell(value) for value in row] for row in rows], plain=True)


def doctor_table(findings: Iterable[tuple[Mark, str, str, str]]) -> Table:
    """A line per check: its mark, what was checked, the state, and what to do about it."""
    heads = [Column(""), Column("what"), Column("state"), Column("what to do")]
    return Table("doctor", "", heads, [_finding(*finding) for finding in findings])


def _finding(mark: Mark, *words: str) -> list[Cell]:
    sign, tone = _MARKS[mark]
    return [Cell(sign, tone=tone), *map(Cell, words)]
