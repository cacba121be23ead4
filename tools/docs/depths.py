"""The table of ten layers beside two in docs/accuracy.md, from the rows in ``reports/accuracy``.

    python tools/docs/depths.py            # writes it
    python tools/docs/depths.py --check    # fails where the page has other numbers than the rows

For each method: test accuracy of two layers; points that ten layers from the common start are ahead of them, pair by
pair, with a 95 % bootstrap interval; and the median iteration at full depth with the best validation accuracy, of a
hundred, where 0 is the end of the two-layer stage. Bold is what the paired test shows, after Holm's correction over the
graphs.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from statistics import mean, median
from typing import Any

from headline import TABLE as HEADLINE
from headline import deep, shallow
from marked import Marked, main, markdown
from paired import METHOD, PAGES, points

from pdadmm_bench.core.rows import Row
from pdadmm_bench.stats.metrics import metric
from pdadmm_bench.stats.paired import compare, judge
from pdadmm_bench.stats.pairing import repetition

ACCURACY = metric("acc_test_at_best_val")
DEPTHS = Marked("depths", HEADLINE.rows, PAGES)


def depths(rows: list[Row]) -> str:
    """Two layers, the difference to ten, and when ten are at their best: optimizers down, graphs across."""
    two, ten = (by_run(found) for found in (shallow(rows), deep(rows)))
    datasets = sorted({dataset for _, dataset in ten})
    lines = []
    for optimizer in dict.fromkeys([METHOD, *sorted(name for name, _ in ten)]):
        sides = [(two[optimizer, dataset], ten[optimizer, dataset]) for dataset in datasets]
        shared = [sorted(before.keys() & after.keys()) for before, after in sides]
        compared = judge(
            [
                compare(*([side[run]["acc_test_at_best_val"] for run in runs] for side in pair), ACCURACY)
                for pair, runs in zip(sides, shared, strict=True)
            ]
        )
        cells = [
            f"{100 * mean(row['acc_test_at_best_val'] for row in before.values()):.1f}; {points(found)}; "
            f"{median(row['acc_best_iteration'] for row in after.values()):g}"
            for (before, after), found in zip(sides, compared, strict=True)
        ]
        lines.append([optimizer, *cells])
    return markdown(["two layers, %; points of ten; best iteration", *datasets], lines)


def by_run(rows: list[Row]) -> dict[tuple[str, str], dict[tuple[Any, ...], Row]]:
    """The rows of each optimizer on each graph by seed and split."""
    found: dict[tuple[str, str], dict[tuple[Any, ...], Row]] = defaultdict(dict)
    for row in rows:
        found[row["optimizer_name"], row["dataset_name"]][repetition(row)] = row
    return found


TABLES = ((DEPTHS, depths),)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
