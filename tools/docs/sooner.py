"""The tables of docs/accuracy.md about seconds, from the rows in ``reports/sooner``.

    pdadmm-bench suite runners/sooner.toml
    python tools/docs/sooner.py results/sooner    # takes rows and curves of the suite first
    python tools/docs/sooner.py                   # writes the tables
    python tools/docs/sooner.py --check           # fails where the page has other numbers than the rows

Ten layers from the common start, with the first layer as small for every optimizer. Seconds are training seconds, the
warm start's included. A pair has the seed and the split in common.
"""

from __future__ import annotations

import sys

from marked import ROOT, Marked, main
from methods import soonest
from paired import METHOD, PAGES, against, cell

from pdadmm_bench.core.rows import Row
from pdadmm_bench.stats.paired import Comparison

FOLDER = ROOT / "reports" / "sooner"
COMMON, TIMES = (Marked(name, FOLDER / "rows.json.gz", PAGES) for name in ("near-best", "sooner"))


def common(rows: list[Row]) -> str:
    """Median seconds to 99 % of the best validation accuracy of any optimizer in the pair, and how many get there."""
    return soonest(rows, COMMON.histories(), [METHOD])


def times(rows: list[Row]) -> str:
    """Seconds of the other optimizer to 99 % of its own best validation accuracy, over those of pdADMM."""
    return against(rows, METHOD, "time_to_near_best_s", _times, baseline=False)


def _times(found: Comparison) -> str:
    return cell(found, lambda value: f"{value:.1f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (COMMON, common), (TIMES, times)))
