"""The table of accuracies in README.md and docs/accuracy.md, from the rows in ``reports/accuracy``.

    python tools/docs/headline.py results/accuracy    # takes the rows of the suite first
    python tools/docs/headline.py                     # writes it
    python tools/docs/headline.py --check             # fails where a page has other numbers than the rows

Mean test accuracy at the best validation accuracy, with its 95 % bootstrap interval and n. Bold is an optimizer that
the paired test over seeds shows to be better than every other one.
"""

from __future__ import annotations

import sys

from marked import ROOT, Marked, main

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report import render
from pdadmm_bench.report.standings import Leaders
from pdadmm_bench.report.tables.accuracy import accuracy_table

TABLE = Marked(
    "headline", ROOT / "reports" / "accuracy" / "rows.json.gz", (ROOT / "README.md", ROOT / "docs" / "accuracy.md")
)


LAYERS = 10
"""Of the deep network."""


def deep(rows: list[Row]) -> list[Row]:
    """The rows of the deep network from the common start, for the other tables and the picture."""
    return [row for row in rows if row["model_layers"] == LAYERS and row["model_warm_start"]]


def shallow(rows: list[Row]) -> list[Row]:
    """The rows of two layers alone."""
    return [row for row in rows if row["model_layers"] == 2]


def table(rows: list[Row]) -> str:
    """The table of the deep network."""
    return table_of(deep(rows))


def table_of(rows: list[Row]) -> str:
    """The report's own table of accuracies, in Markdown; raises ``ValueError`` if no row has an accuracy."""
    found = accuracy_table(Leaders(rows))
    if found is None:
        raise ValueError("no row has a test accuracy")
    return render.markdown_body(found).strip()


TABLES = ((TABLE, table),)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
