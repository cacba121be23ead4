"""The table of starting points in docs/accuracy.md, from the rows in ``reports/accuracy``.

    python tools/docs/starts.py results/accuracy    # takes the rows of full depth first
    python tools/docs/starts.py                     # writes it
    python tools/docs/starts.py --check             # fails where the page has other numbers than the rows

Ten layers; mean test accuracy at the best validation accuracy from each starting point. Rows of the common start are
those of the headline. The second table compares the methods that have enough pairs from He et al.'s start.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from statistics import mean

from headline import TABLE as HEADLINE
from headline import deep
from marked import ROOT, Marked, main, markdown
from paired import METHOD_M, PAGES, against

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.units import signed
from pdadmm_bench.stats.pairing import repetition

TABLE, AHEAD = (
    Marked(name, ROOT / "reports" / "accuracy" / "starts.json.gz", PAGES) for name in ("starts", "starts-ahead")
)
COMMON = "he, two layers first"
OTHERS = ("identity", "he")

REPEATED = (METHOD_M, "adam", "adadelta")
"""With more repetitions from He et al.'s start: the three that were ahead there."""

Place = tuple[str, str, str]
"""Start, optimizer and graph."""
Runs = dict[tuple[object, ...], Row]
"""By seed and split."""


def start(row: Row) -> str:
    """The starting point's name in the table."""
    return COMMON if row["model_warm_start"] else str(row["model_init"])


def table(rows: list[Row]) -> str:
    """Starting points and optimizers down, graphs across; ``rows`` are those of the other starts.

    A cell has the mean test accuracy, and how many points it is ahead of the common start, over the seeds and splits
    that every optimizer has from both.
    """
    found: dict[Place, Runs] = defaultdict(dict)
    for row in [*rows, *deep(HEADLINE.load())]:
        found[start(row), row["optimizer_name"], row["dataset_name"]][repetition(row)] = row
    datasets, optimizers = (sorted({place[axis] for place in found}) for axis in (2, 1))
    lines = []
    for name in OTHERS:
        ran = [optimizer for optimizer in optimizers if any(found.get((name, optimizer, one)) for one in datasets)]
        shared = {
            one: set.intersection(*(set(found[place, optimizer, one]) for optimizer in ran for place in (name, COMMON)))
            for one in datasets
        }
        for optimizer in ran:
            both = [(found[name, optimizer, one], found[COMMON, optimizer, one], shared[one]) for one in datasets]
            lines.append([name, optimizer, *(_cell(*each) for each in both)])
    return markdown(["start", "optimizer", *datasets], lines, labels=2)


def _cell(mine: Runs, common: Runs, shared: set[tuple[object, ...]]) -> str:
    """Mean test accuracy and points ahead, of the repetitions that are ``shared``; or the statuses that failed."""
    if failed := sorted({mine[one]["status"] for one in shared} - {"ok"}):
        return ", ".join(failed)
    if not shared:
        return "–"
    reached, before = (mean(100 * runs[one]["acc_test_at_best_val"] for one in shared) for runs in (mine, common))
    return f"{reached:.1f}; {signed(reached - before)} (n={len(shared)})"


def ahead(rows: list[Row]) -> str:
    """From He et al.'s start: points that pdADMM-M is ahead of the methods that were repeated as often."""
    alone = [row for row in rows if start(row) == "he" and row["optimizer_name"] in REPEATED]
    return against(alone, f"{METHOD_M}, from he")


TABLES = ((TABLE, table), (AHEAD, ahead))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
