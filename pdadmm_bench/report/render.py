"""Tables of a report for a terminal, as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from pdadmm_bench.report.table import Cell, Table, text

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
    """For rich's console: the best in bold with a star, since colour does not survive a pipe; notes dim below."""
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(title=Text(table.title, style="bold"), title_justify="left")
    for column in table.columns:
        drawn.add_column(Text(column.heading), justify="right" if column.numeric else "left", overflow="fold")
    for line in table.rows:
        cells = [(text(cell, column), cell) for cell, column in zip(line, table.columns, strict=True)]
        drawn.add_row(*(Text(f"{shown} *" if cell.best else shown, style=_style(cell)) for shown, cell in cells))
    return Group(drawn, *(Text(note, style="dim") for note in table.notes), Text())


def _style(cell: Cell) -> str:
    return "bold" if cell.best else "yellow" if cell.unquotable else ""


def markdown(table: Table) -> str:
    """A heading over :func:`markdown_body`."""
    return f"## {table.title}\n\n{markdown_body(table)}"


def markdown_body(table: Table) -> str:
    """The table with the best in bold, and a list of notes."""
    lines = [
        [column.heading for column in table.columns],
        ["---:" if column.numeric else "---" for column in table.columns],
        *_texts(table, lambda shown, cell: f"**{shown}**" if cell.best else shown),
    ]
    body = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
    notes = "".join(f"- {note}\n" for note in table.notes)
    return f"{body}\n\n{notes}"


def _texts(table: Table, mark: Callable[[str, Cell], str]) -> list[list[str]]:
    return [
        [mark(text(cell, column), cell) for cell, column in zip(line, table.columns, strict=True)]
        for line in table.rows
    ]


def comma_separated(table: Table) -> str:
    """Numbers in base units (fractions of 1, seconds, bytes), with ``_low``, ``_high``, ``_n`` where there are any."""
    heads: list[str] = []
    parts: list[list[str]] = []
    for place, column in enumerate(table.columns):
        cells = [line[place] for line in table.rows]
        for ending, needed, value in _FIELDS:
            if needed is None or any(needed(cell) for cell in cells):
                heads.append(f"{column.heading}{_UNITS.get(column.kind, '') if ending in _SCALED else ''}{ending}")
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


_UNITS = {"seconds": " (s)", "bytes": " (bytes)", "accuracy": " (fraction)", "share": " (fraction)"}
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
    r"""A ``table`` environment for ``\usepackage{booktabs}``, ``textcomp`` and UTF-8; notes below the rules."""
    cells = _texts(table, lambda shown, cell: rf"\textbf{{{escape(shown)}}}" if cell.best else escape(shown))
    rows = [" & ".join(line) for line in cells]
    notes = "".join(f"\n  \\par\\footnotesize {escape(note)}" for note in table.notes)
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape(table.title)}}}",
            rf"  \label{{tab:{table.name}}}",
            rf"  \begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in table.columns)}}}",
            r"    \toprule",
            f"    {' & '.join(escape(column.heading) for column in table.columns)} \\\\",
            r"    \midrule",
            *(f"    {row} \\\\" for row in rows),
            r"    \bottomrule",
            rf"  \end{{tabular}}{notes}",
            r"\end{table}",
            "",
        ]
    )


def escape(plain: str) -> str:
    """Text for LaTeX; braces round what starts with ``[`` or ``*``, which the end of the line before would swallow."""
    escaped = "".join(_LATEX.get(character, character) for character in plain)
    return f"{{{escaped}}}" if escaped.startswith(("[", "*")) else escaped
