"""The table of pdADMM with 2, 10 and 20 layers in docs/accuracy.md, from rows of protocol 2 in ``reports/accuracy``.

python tools/docs/depths.py            # writes it
python tools/docs/depths.py --check    # fails where the page has other numbers than the rows
"""

from __future__ import annotations

import sys

from headline import table_of
from marked import ROOT, Marked, main
from paired import METHOD, PAGES

from pdadmm_bench.core.rows import Row

DEPTHS = Marked("depths", ROOT / "reports" / "accuracy" / "protocol-2.json.gz", PAGES)


def depths(rows: list[Row]) -> str:
    """A line for each depth, a column for each graph."""
    return table_of([row for row in rows if row["optimizer_name"] == METHOD])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (DEPTHS, depths)))
