"""The ablation on many labels in docs/many-labels.md, from the rows of ``runners/tuning/ablation-many.toml``.

    pdadmm-bench suite runners/tuning/ablation-many.toml -j 2
    python tools/docs/many_ablation.py results/ablation-many    # takes the rows of the suite first
    python tools/docs/many_ablation.py                          # writes the tables
    python tools/docs/many_ablation.py --check                  # fails where the page has other numbers than the rows

The tables are those of :mod:`ablation`, with a column for each method and graph.
"""

from __future__ import annotations

import sys

import ablation
from marked import ROOT, Marked, main

from pdadmm_bench.core.rows import Row

PAGES = (ROOT / "docs" / "many-labels.md",)
TABLE = Marked("many-ablation", ROOT / "reports" / "tuning" / "ablation-many.json.gz", PAGES)
SECONDS = Marked("many-ablation-seconds", TABLE.rows, PAGES)


def table(rows: list[Row]) -> str:
    """Accuracies in Markdown."""
    return ablation.table(by_method(rows))


def seconds(rows: list[Row]) -> str:
    """Times in Markdown."""
    return ablation.seconds(by_method(rows))


def by_method(rows: list[Row]) -> list[Row]:
    """The rows with their method in the name of the graph."""
    return [{**row, "dataset_name": f"{row['optimizer_name']}, {row['dataset_name']}"} for row in rows]


TABLES = ((TABLE, table), (SECONDS, seconds))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
