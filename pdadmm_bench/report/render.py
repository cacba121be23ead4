"""A table as text: for a terminal, as Markdown, CSV, LaTeX and HTML."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pdadmm_bench.report.table import Cell, Kind, Table, Tone, hoisted, text

if TYPE_CHECKING:
    from rich.console import Group

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "×": r"$\times$", "≤": r"$\le$", "≥": r"$\ge$",
    "±": r"$\pm$", "∞": r"$\infty$", "†": r"\textdagger{}", "→": r"$\to$", "−": "$-$", "ρ": r"$\rho$", "ν": r"$\nu$",
    "µ": r"\textmu{}", "μ": r"\textmu{}", "…": r"\dots{}", "·": r"\textperiodcentered{}", "★": r"$\star$",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip


def terminal(table: Table) -> Group:
    """The table for a rich console, with dim notes below it.

    The best cell is bold and has a star, since colour and weight are lost in a pipe.
    """
    from rich.box import HEAVY_HEAD
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    headings = any(column.heading for column in table.columns)
    drawn = RichTable(show_header=headings, box=None if table.plain else HEAVY_HEAD, pad_edge=not table.plain)
    for place, column in enumerate(table.columns):
        whole = table.plain and place < len(table.columns) - 1
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        drawn.add_column(Text(column.heading), justify=justify, overflow="fold", no_wrap=whole)
    for place, line in enumerate(table.rows):
        cells = [(text(cell, column), cell) for cell, column in zip(line, table.columns, strict=True)]
        shown = (Text(f"{words} *" if cell.best else words, style=_style(cell)) for words, cell in cells)
        drawn.add_row(*shown, end_section=place in table.section_ends)
    # Not the title of rich's table, which would be folded to the table's width.
    title = [Text(table.title, style="bold")] if table.title else []
    return Group(*title, drawn, *(Text(note, style="dim") for note in table.notes))


_STYLES: dict[Tone, str] = {"good": "green", "bad": "red", "warning": "yellow", "dim": "dim", "": ""}


def _style(cell: Cell) -> str:
    return "bold" if cell.best else "yellow" if cell.unquotable else _STYLES[cell.tone]


def markdown(table: Table) -> str:
    """A heading, if the table has a title, over :func:`markdown_body`."""
    heading = f"## {_no_html(table.title)}\n\n" if table.title else ""
    return heading + markdown_body(table)


def markdown_body(table: Table) -> str:
    """The table, with the best and the verdicts in bold, and a list of notes."""
    lines = [
        [column.heading for column in table.columns],
        ["---:" if column.numeric else "---" for column in table.columns],
        *_texts(table, lambda shown, cell: f"**{shown}**" if _emphasised(shown, cell) else shown, code="`"),
    ]
    body = "\n".join(f"| {' | '.join(map(_markdown_cell, line))} |" for line in lines)
    notes = "".join(f"- {_no_html(note)}\n" for note in table.notes)
    return f"{body}\n\n{notes}"


def _no_html(shown: str) -> str:
    return shown.replace("<", "&lt;")


def _markdown_cell(shown: str) -> str:
    """Text of a cell, in which no character ends the cell or begins HTML."""
    return _no_html(shown).replace("|", "\\|").replace("\n", " ")


def _emphasised(shown: str, cell: Cell) -> bool:
    return bool(shown) and (cell.best or cell.tone in ("good", "bad"))


def _texts(table: Table, mark: Callable[[str, Cell], str], code: str = "") -> list[list[str]]:
    """What every cell shows, after ``mark``. The cells of columns of code are put between ``code``."""
    found = []
    for line in table.rows:
        pairs = list(zip(line, table.columns, strict=True))
        quotes = [code if column.kind == "code" and cell.value else "" for cell, column in pairs]
        shown = [f"{quote}{text(*pair)}{quote}" for quote, pair in zip(quotes, pairs, strict=True)]
        found.append([mark(words, cell) for words, cell in zip(shown, line, strict=True)])
    return found


def comma_separated(table: Table) -> str:
    """CSV with numbers in base units: fractions of 1, seconds, bytes.

    A column with intervals has ``_low`` and ``_high`` columns behind it, one with numbers of runs a column ``_n``.
    """
    heads: list[str] = []
    parts: list[list[str]] = []
    for place, column in enumerate(table.columns):
        cells = [line[place] for line in table.rows]
        for ending, needed, value in _FIELDS:
            if needed is None or any(needed(cell) for cell in cells):
                unit = _UNITS.get(column.kind, "") if ending in _SCALED else ""
                heads.append(f"{_one_line(column.heading)}{unit}{ending}")
                parts.append([value(cell) for cell in cells])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(zip(*parts, strict=True))
    return out.getvalue()


def _plain(value: float | str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "inf" if math.isinf(value) else repr(value)
    return str(value)


def _one_line(heading: str) -> str:
    return heading.replace("\n", " ")


_FRACTIONS: tuple[Kind, ...] = ("accuracy", "share", "points")
_UNITS: dict[Kind, str] = {"seconds": " (s)", "bytes": " (bytes)", **dict.fromkeys(_FRACTIONS, " (fraction)")}
_SCALED = ("", "_low", "_high")
_FIELDS = (
    ("", None, lambda cell: _plain(cell.value)),
    ("_low", lambda cell: cell.low is not None, lambda cell: _plain(cell.low)),
    ("_high", lambda cell: cell.high is not None, lambda cell: _plain(cell.high)),
    ("_n", lambda cell: cell.n is not None, lambda cell: _plain(cell.n)),
    ("_best", lambda cell: cell.best, lambda cell: "yes" if cell.best else ""),
    ("_remark", lambda cell: bool(cell.suffix), lambda cell: cell.suffix),
    ("_not_to_be_quoted", lambda cell: cell.unquotable, lambda cell: "yes" if cell.unquotable else ""),
)


def latex(table: Table) -> str:
    r"""A ``table`` environment with its notes, no wider than the page.

    It needs ``\usepackage{booktabs,adjustbox}``, ``textcomp`` and UTF-8.
    """
    table = hoisted(table)
    cells = _texts(
        table, lambda shown, cell: rf"\textbf{{{escape(shown)}}}" if _emphasised(shown, cell) else escape(shown)
    )
    rows = [" & ".join(line) for line in cells]
    rules = {place: "\n    \\midrule" for place in table.section_ends if place < len(rows) - 1}
    notes = "".join(f"\n  \\par\\footnotesize {escape(note)}" for note in table.notes)
    return "\n".join(
        [
            "% needs \\usepackage{booktabs,adjustbox}",
            r"\begin{table}",
            r"  \centering",
            *([rf"  \caption{{{escape(table.title)}}}"] if table.title else []),
            rf"  \label{{tab:{table.name}}}",
            r"  \begin{adjustbox}{max width=\linewidth}",
            rf"  \begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in table.columns)}}}",
            r"    \toprule",
            f"    {' & '.join(escape(_one_line(column.heading)) for column in table.columns)} \\\\",
            r"    \midrule",
            *(f"    {row} \\\\{rules.get(place, '')}" for place, row in enumerate(rows)),
            r"    \bottomrule",
            r"  \end{tabular}",
            rf"  \end{{adjustbox}}{notes}",
            r"\end{table}",
            "",
        ]
    )


def escape(plain: str) -> str:
    """Text for LaTeX.

    Text that starts with ``[`` or ``*`` is put in braces: after the end of a line LaTeX would read it as an option.
    """
    escaped = "".join(_LATEX.get(character, character) for character in plain)
    return f"{{{escaped}}}" if escaped.startswith(("[", "*")) else escaped


TEMPLATE = Path(__file__).with_name("table.html.j2")


#: The columns by which a page can be filtered.
FILTERS = ("dataset", "layers", "optimizer")


def html(table: Table, datasets: Collection[str] = ()) -> str:
    """A ``<table>`` and its notes. The script of :mod:`pdadmm_bench.report.page` sorts and filters it.

    Args:
        datasets: headings that name a dataset, by which the cells below them are filtered.
    """
    from jinja2 import Environment

    places = {column.heading: place for place, column in enumerate(table.columns)}
    filters = [
        {name: text(line[places[name]], table.columns[places[name]]).partition(" ")[0] for name in FILTERS
         if name in places}
        for line in table.rows
    ]  # fmt: skip
    template = Environment(autoescape=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        table=hoisted(table), filters=filters, datasets=datasets, text=text, order=_order, classes=_classes
    )


def _order(cell: Cell) -> str:
    """The value that a column is sorted by, as JavaScript reads it; empty where there is none."""
    if isinstance(cell.value, float) and math.isinf(cell.value):
        return "Infinity"
    return "" if cell.value is None else str(cell.value)


def _classes(cell: Cell, numeric: bool) -> str:
    flags = {"n": numeric, "best": cell.best, "unquotable": cell.unquotable}
    return " ".join([name for name, there in flags.items() if there] + [cell.tone] * bool(cell.tone))


TEXTS: dict[str, Callable[[Table], str]] = {"markdown": markdown, "csv": comma_separated, "latex": latex, "html": html}
"""The formats of a table beside that of a terminal."""
