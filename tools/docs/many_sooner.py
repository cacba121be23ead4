"""The table of docs/many-labels.md about seconds, from ``reports/many-labels`` and ``reports/many-sooner``.

    pdadmm-bench suite runners/many-sooner.toml
    python tools/docs/many_sooner.py results/many-sooner    # takes the rows of the suite first
    python tools/docs/many_sooner.py                        # writes the table
    python tools/docs/many_sooner.py --check                # fails where the page has other numbers than the rows

The iterations are those of all runs behind the accuracies, and what an iteration takes that of runs one at a time
(``pace.py``). Seconds are training seconds, the warm start's included.
"""

from __future__ import annotations

import sys

from many_labels import ACCURACY
from marked import ROOT, Marked, main
from methods import method_of, soonest
from pace import paced
from paired import METHOD, METHOD_M

from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row

SOONEST = Marked("many-soon", ROOT / "reports" / "many-sooner" / "rows.json.gz", (ROOT / "docs" / "many-labels.md",))


def runs(timed: list[Row]) -> tuple[list[Row], dict[str, History]]:
    """The runs behind the accuracies, of the methods that were timed, with their histories at the pace of these."""
    known = set(map(method_of, timed))
    rows = [row for row in ACCURACY.load() if method_of(row) in known]
    return rows, paced(rows, ACCURACY.histories(), timed)


def soon(timed: list[Row]) -> str:
    """Median seconds to 99 % of the best validation accuracy of any method, and how many runs get there."""
    return soonest(*runs(timed), [METHOD, METHOD_M])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (SOONEST, soon)))
