"""Seconds in docs/many-labels.md, a table and a picture, from ``reports/many-labels`` and ``reports/many-sooner``.

    pdadmm-bench suite runners/many-sooner.toml
    python tools/docs/many_sooner.py results/many-sooner    # takes the rows of the suite first
    python tools/docs/many_sooner.py                        # writes table and picture
    python tools/docs/many_sooner.py --check                # fails where the page has other numbers than the rows

The iterations are those of all runs behind the accuracies, and what an iteration takes that of runs one at a time
(``pace.py``). Seconds are training seconds, the warm start's included.
"""

from __future__ import annotations

import sys

from many_labels import ACCURACY, datasets_of, grouped
from marked import ROOT, Marked, main
from methods import draw_curve, log_axis, method_of, soonest
from pace import paced
from paired import METHOD, METHOD_M

from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.style import heading, panels

SOONEST = Marked("many-soon", ROOT / "reports" / "many-sooner" / "rows.json.gz", (ROOT / "docs" / "many-labels.md",))
PICTURE = ROOT / "docs" / "images" / "many-labels.png"


def runs(timed: list[Row]) -> tuple[list[Row], dict[str, History]]:
    """The runs behind the accuracies, of the methods that were timed, with their histories at the pace of these."""
    known = set(map(method_of, timed))
    rows = [row for row in ACCURACY.load() if method_of(row) in known]
    return rows, paced(rows, ACCURACY.histories(), timed)


def soon(timed: list[Row]) -> str:
    """Median seconds to 99 % of the best validation accuracy of any method, and how many runs get there."""
    return soonest(*runs(timed), [METHOD, METHOD_M])


def draw() -> None:
    """Validation accuracy over seconds of every method, the median over pairs at each evaluated iteration."""
    rows, histories = runs(SOONEST.load())
    names = datasets_of(rows)
    figure, grid = panels(len(names))
    for axes, name in zip(grid, names, strict=False):
        for method, by_name in grouped(rows).items():
            draw_curve(axes, method, [histories[row["run_id"]] for row in by_name.get(name, [])], "train_seconds")
        log_axis(axes)
        best = max(100 * (row["acc_val_best"] or 0) for row in rows if row["dataset_name"] == name)
        axes.set_ylim(best - 12, best + 0.5)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("training seconds, warm start included", fontsize=8)
        axes.set_ylabel("validation accuracy, %", fontsize=8)
    grid[0].legend(fontsize=6, loc="lower right")
    heading(figure, "60 % of the rows, 10 × 128: accuracy over seconds, median over splits and seeds")
    figure.savefig(PICTURE)


TABLES = ((SOONEST, soon),)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES, draw=draw))
