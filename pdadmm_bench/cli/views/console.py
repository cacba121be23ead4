"""Where tables are printed."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from pdadmm_bench.report import render
from pdadmm_bench.report.formats import TABLES_VARIABLE
from pdadmm_bench.report.table import Table


def stdout() -> Console:
    """Standard output. Where it is no terminal it is 200 columns wide; rich would fold tables to 80."""
    found = Console()
    return found if found.is_terminal else Console(width=200)


def show(*tables: Table, console: Console | None = None) -> None:
    """Print tables with an empty line between two of them, on standard output unless another console is given.

    Off a terminal a plain table has a line per row, however long it is. On standard output the format is that of
    ``--tables``.
    """
    console = console or stdout()
    text = render.TEXTS.get(os.environ.get(TABLES_VARIABLE, ""))
    for place, table in enumerate(tables):
        if place:
            console.print()
        if text and console.file is sys.stdout:
            console.file.write(text(table).rstrip() + "\n")
            continue
        whole = table.plain and not console.is_terminal
        (Console(file=console.file, width=_LONGEST_LINE) if whole else console).print(render.terminal(table))


_LONGEST_LINE = 10_000
