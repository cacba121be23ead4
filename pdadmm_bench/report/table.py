"""A table of a report, apart from how it is drawn: columns with a unit, cells with value, interval and n.

Values are kept in base units (fractions of 1, seconds, bytes); :func:`text` turns them into what a reader sees.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pdadmm_bench.report.units import seconds, size
from pdadmm_bench.stats.estimate import Estimate

Kind = Literal["text", "count", "share", "accuracy", "seconds", "ratio", "bytes"]

#: After a number that must not be quoted; a note under the table says why.
UNQUOTABLE = "†"
NOTHING = "–"


@dataclass(frozen=True)
class Column:
    """A heading, and what its cells are: ``accuracy`` and ``share`` are fractions of 1, shown in percent."""

    heading: str
    kind: Kind = "text"

    @property
    def numeric(self) -> bool:
        return self.kind != "text"


@dataclass(frozen=True)
class Cell:
    """One value; None where there is none, infinity for a target that was never reached."""

    value: float | str | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    best: bool = False
    """Better than every other line it was compared with, by the paired test."""
    unquotable: bool = False
    suffix: str = ""
    """Words after the number, such as ``3 of 5 reached``."""


@dataclass(frozen=True)
class Table:
    """``name`` is that of its files."""

    name: str
    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)


def cell(estimate: Estimate, unquotable: bool = False, suffix: str = "", best: bool = False) -> Cell:
    """An estimate as a cell."""
    return Cell(
        estimate.value, estimate.low, estimate.high, estimate.n or None, best,
        unquotable and estimate.value is not None, suffix,
    )  # fmt: skip


def text(found: Cell, column: Column) -> str:
    """The cell as a reader sees it, without the mark of the best: ``79.1 % [78.2, 79.9] (n=10)``."""
    if found.value is None:
        return NOTHING + (f" ({found.suffix})" if found.suffix else "")
    if isinstance(found.value, str):
        return found.value
    parts = [_number(found.value, column.kind) + (UNQUOTABLE if found.unquotable else "")]
    if found.low is not None and found.high is not None:
        parts.append(f"[{_number(found.low, column.kind, bare=True)}, {_number(found.high, column.kind, bare=True)}]")
    after = [part for part in (found.suffix, f"n={found.n}" if found.n is not None else "") if part]
    return " ".join([*parts, *([f"({', '.join(after)})"] if after else [])])


def _number(value: float, kind: Kind, bare: bool = False) -> str:
    if math.isinf(value):
        return "never"
    if kind in ("accuracy", "share"):
        return f"{100 * value:.1f}" + ("" if bare else " %")
    if kind == "seconds":
        return seconds(value)
    if kind == "bytes":
        return size(value)
    return f"{value:.2f}" if kind == "ratio" else f"{value:g}"


def numbered(tables: Sequence[Table]) -> list[Table]:
    """Tables of one name with their number behind it, where there are several."""
    names = numbered_names(tables[0].name, len(tables)) if tables else []
    return [replace(table, name=name) for name, table in zip(names, tables, strict=True)]


def numbered_names(name: str, count: int) -> list[str]:
    """``name`` for one thing, ``name-1``, ``name-2``, … for several."""
    return [name] if count == 1 else [f"{name}-{place}" for place in range(1, count + 1)]


def flag_note(cells: Iterable[Cell]) -> list[str]:
    """The note that explains the mark, where there is one."""
    if not any(found.unquotable for found in cells):
        return []
    return [f"{UNQUOTABLE} not to be quoted: other runs shared the machine at the time (env_concurrency > 1)"]


def slug(text: str) -> str:
    """``text`` as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
