"""The table of docs/many-labels.md about seconds, from the rows in ``reports/many-sooner``.

    pdadmm-bench suite runners/many-sooner.toml
    python tools/docs/many_sooner.py results/many-sooner    # takes the rows of the suite first
    python tools/docs/many_sooner.py                        # writes the table
    python tools/docs/many_sooner.py --check                # fails where the page has other numbers than the rows

The runs were made one at a time. Seconds are training seconds, the warm start's included.
"""

from __future__ import annotations

import sys

from marked import ROOT, Marked, main
from methods import soonest
from paired import METHOD, METHOD_M

from pdadmm_bench.core.rows import Row

SOONEST = Marked("many-soon", ROOT / "reports" / "many-sooner" / "rows.json.gz", (ROOT / "docs" / "many-labels.md",))


def soon(rows: list[Row]) -> str:
    """Median seconds to 99 % of the best validation accuracy of any method, and how many runs get there."""
    return soonest(rows, SOONEST.histories(), [METHOD, METHOD_M])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (SOONEST, soon)))
