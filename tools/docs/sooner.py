"""The tables of docs/accuracy.md about seconds, from the rows in ``reports/accuracy`` and ``reports/sooner``.

    pdadmm-bench suite runners/sooner.toml
    python tools/docs/sooner.py results/sooner    # takes rows and curves of the suite first
    python tools/docs/sooner.py                   # writes the tables
    python tools/docs/sooner.py --check           # fails where the page has other numbers than the rows

Ten layers from the common start, with the first layer as small for every optimizer. The iterations are those of all
runs behind the accuracies, and what an iteration takes that of runs one at a time (``pace.py``). Seconds are training
seconds, the warm start's included. A pair has the seed and the split in common.
"""

from __future__ import annotations

import sys

from headline import TABLE as HEADLINE
from headline import deep
from marked import ROOT, Marked, main
from methods import soonest
from pace import own_seconds, paced
from paired import METHOD, PAGES, against, cell

from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row
from pdadmm_bench.stats.paired import Comparison

FOLDER = ROOT / "reports" / "sooner"
COMMON, TIMES = (Marked(name, FOLDER / "rows.json.gz", PAGES) for name in ("near-best", "sooner"))

LEAST = 1.25
"""A smaller factor is not marked: the test is about iterations, and the pace of three runs is not known so well."""


def runs(timed: list[Row]) -> tuple[list[Row], dict[str, History]]:
    """The runs behind the accuracies, with their histories at the pace of those that were timed."""
    rows = deep(HEADLINE.load())
    return rows, paced(rows, HEADLINE.histories(), timed)


def common(timed: list[Row]) -> str:
    """Median seconds to 99 % of the best validation accuracy of any optimizer in the pair, and how many get there."""
    return soonest(*runs(timed), [METHOD])


def times(timed: list[Row]) -> str:
    """Seconds of the other optimizer to 99 % of its own best validation accuracy, over those of pdADMM."""
    rows, histories = runs(timed)
    alone = {"env_concurrency": 1}  # as what was timed
    return factors([{**row, **alone, "time_to_near_best_s": own_seconds(row, histories)} for row in rows])


def factors(rows: list[Row]) -> str:
    """Seconds to a run's own best, pair by pair."""
    return against(rows, METHOD, "time_to_near_best_s", _times, baseline=False)


def _times(found: Comparison) -> str:
    shown = cell(found, lambda value: f"{value:.1f}")
    factor = found.effect.value or 1.0
    return shown if max(factor, 1 / factor) >= LEAST else shown.replace("**", "")


TABLES = ((COMMON, common), (TIMES, times))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
