"""A table, independent of how it is drawn: columns with a unit, cells with a value, its interval and n.

Every table that the program shows anywhere is a :class:`Table`; :mod:`pdadmm_bench.report.render` turns it into text
for a terminal, Markdown, CSV, LaTeX or HTML. Values are kept in base units (fractions of 1, seconds, bytes);
:func:`text` turns them into what a reader sees.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from pdadmm_bench.report.units import seconds, signed, size

if TYPE_CHECKING:
    from pdadmm_bench.stats.estimate import Estimate  # imports numpy, which ``list`` and ``info`` do without

Kind = Literal["text", "code", "count", "number", "share", "accuracy", "points", "seconds", "ratio", "factor", "bytes"]
Tone = Literal["", "good", "bad", "warning", "dim"]

#: Stands after a number that must not be quoted; a note under the table says why.
UNQUOTABLE = "†"
NOTHING = "–"


@dataclass(frozen=True)
class Column:
    """A heading, and the kind of its values.

    ``accuracy`` and ``share`` are fractions of 1, shown in percent; ``points`` is a difference of two accuracies, shown
    with its sign; ``ratio`` has two decimals, ``factor`` and ``number`` have significant digits; ``count`` is a whole
    number; ``code`` is text that Markdown shows as code. A line break in the heading counts on a terminal only.
    """

    heading: str
    kind: Kind = "text"

    @property
    def numeric(self) -> bool:
        """Whether the column is aligned to the right."""
        return self.kind not in ("text", "code")


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
    shown: str | None = None
    """What a reader sees in place of value and interval, where the unit is not that of the column."""
    tone: Tone = ""
    """``good`` and ``bad`` are verdicts; ``warning`` is what deserves a look."""


@dataclass(frozen=True)
class Table:
    """Columns and rows under a title, with notes below."""

    name: str
    """The name of its files, without the suffix."""
    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)
    plain: bool = False
    """Whether a terminal shows it without a frame, as a list that another program may read line by line."""
    section_ends: frozenset[int] = frozenset()
    """The places of the rows below which a line is drawn."""


def table_of_words(
    name: str, title: str, headings: Sequence[str], lines: Iterable[Sequence[str]], labels: int = 1
) -> Table:
    """A table whose cells are words already; all columns but the first ``labels`` are aligned like numbers."""
    heads = [Column(heading, "text" if place < labels else "number") for place, heading in enumerate(headings)]
    return Table(name, title, heads, [[Cell(words) for words in line] for line in lines])


def cell(estimate: Estimate, unquotable: bool = False, suffix: str = "", best: bool = False) -> Cell:
    """An estimate as a cell."""
    return Cell(
        estimate.value, estimate.low, estimate.high, estimate.n or None, best,
        unquotable and estimate.value is not None, suffix,
    )  # fmt: skip


def text(found: Cell, column: Column) -> str:
    """The cell as a reader sees it, without the mark of the best: ``79.1 % [78.2, 79.9] (n=10)``."""
    if found.shown is not None:
        return found.shown
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
        return "∞" if kind == "factor" else "never"
    match kind:
        case "accuracy" | "share":
            return f"{100 * value:.1f}" + ("" if bare else " %")
        case "points":
            return signed(100 * value)
        case "seconds":
            return seconds(value)
        case "bytes":
            return size(value)
        case "ratio":
            return f"{value:.2f}"
        case "factor":
            return f"{value:.3g}"
        case "number":
            return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


#: What a column of settings is called in a caption.
_IN_CAPTION: dict[str, Callable[[str], str]] = {
    "dataset": str,
    "layers": "{} layers".format,
    "hidden": "{} units".format,
    "workers": lambda value: f"{value} worker{'' if value == '1' else 's'}",
    "target": "target {}".format,
}


def hoisted(table: Table) -> Table:
    """The table with every column of settings whose cells are all the same in its title instead."""
    constant = {}
    for place, column in enumerate(table.columns):
        shown = {text(line[place], column) for line in table.rows}
        if column.heading in _IN_CAPTION and len(shown) == 1 and NOTHING not in shown:
            constant[place] = _IN_CAPTION[column.heading](shown.pop())
    return replace(
        table,
        title=" · ".join(part for part in (table.title, *constant.values()) if part),
        columns=[column for place, column in enumerate(table.columns) if place not in constant],
        rows=[[cell for place, cell in enumerate(line) if place not in constant] for line in table.rows],
    )


def numbered(tables: Sequence[Table]) -> list[Table]:
    """Tables of one name; where there are several, a number is added to each name."""
    names = numbered_names(tables[0].name, len(tables)) if tables else []
    return [replace(table, name=name) for name, table in zip(names, tables, strict=True)]


def numbered_names(name: str, count: int) -> list[str]:
    """``name`` for one thing, ``name-1``, ``name-2``, … for several."""
    return [name] if count == 1 else [f"{name}-{place}" for place in range(1, count + 1)]


def flag_note(cells: Iterable[Cell]) -> list[str]:
    """The note that explains the mark †; empty where no cell has it."""
    if not any(found.unquotable for found in cells):
        return []
    return [f"{UNQUOTABLE} not to be quoted: other runs shared the machine at the time (env_concurrency > 1)"]


def slug(text: str) -> str:
    """``text`` as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
