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
from statistics import median

from headline import TABLE as HEADLINE
from headline import deep, shallow
from marked import Marked, main, markdown
from paired import METHOD, PAGES, points

from pdadmm_bench.core.rows import Row
from pdadmm_bench.stats.comparison import compare_rows
from pdadmm_bench.stats.metrics import metric

DEPTHS = Marked("depths", HEADLINE.rows, PAGES)


def depths(rows: list[Row]) -> str:
    """Two layers, the difference to ten, and when ten are at their best: optimizers down, graphs across."""
    two, ten = shallow(rows), deep(rows)
    datasets = sorted({row["dataset_name"] for row in ten})
    lines = []
    for optimizer in dict.fromkeys([METHOD, *sorted({row["optimizer_name"] for row in ten})]):
        sides = [[row for row in side if row["optimizer_name"] == optimizer] for side in (two, ten)]
        if not all(sides):
            continue
        found = compare_rows(*sides, [metric("acc_test_at_best_val")], by=["dataset"], apart=True)
        compared = {line.setting["dataset"]: line.comparison for line in found.lines}
        cells = []
        for dataset in datasets:
            before, after = ([row for row in side if row["dataset_name"] == dataset] for side in sides)
            mean = sum(row["acc_test_at_best_val"] for row in before) / len(before)
            best = median(row["acc_best_iteration"] for row in after)
            cells.append(f"{100 * mean:.1f}; {points(compared[dataset])}; {best:g}")
        lines.append([optimizer, *cells])
    return markdown(["two layers, %; points of ten; best iteration", *datasets], lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (DEPTHS, depths)))
