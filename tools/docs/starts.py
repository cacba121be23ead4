"""The table of starting points in docs/accuracy.md, from the rows in ``reports/accuracy``.

    python tools/docs/starts.py results/accuracy    # takes the rows of full depth first
    python tools/docs/starts.py                     # writes it
    python tools/docs/starts.py --check             # fails where the page has other numbers than the rows

Ten layers; mean test accuracy at the best validation accuracy from each starting point. Rows of the common start are
those of the headline. The means are over the seeds and splits for which an optimizer has runs from all starts on a
graph. Bold is the start with the highest mean validation accuracy.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from statistics import mean

from headline import TABLE as HEADLINE
from headline import deep
from marked import ROOT, Marked, main, markdown
from paired import PAGES

from pdadmm_bench.core.rows import Row
from pdadmm_bench.stats.pairing import repetition

TABLE = Marked("starts", ROOT / "reports" / "accuracy" / "starts.json.gz", PAGES)
COMMON = "he, two layers first"
STARTS = (COMMON, "identity", "he")


def start(row: Row) -> str:
    """The starting point's name in the table."""
    return COMMON if row["model_warm_start"] else str(row["model_init"])


def table(rows: list[Row]) -> str:
    """In Markdown: graphs and optimizers down, starting points across; ``rows`` are those of the other starts."""
    found: dict[tuple[str, str], dict[str, dict[tuple[object, ...], Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in [*rows, *deep(HEADLINE.load())]:
        found[row["dataset_name"], row["optimizer_name"]][start(row)][repetition(row)] = row
    lines = []
    for (dataset, optimizer), starts in sorted(found.items()):
        if starts.keys() != set(STARTS):
            continue
        shared = set.intersection(*(set(runs) for runs in starts.values()))
        if not shared:
            continue
        runs = {name: [starts[name][one] for one in shared] for name in STARTS}
        val = {name: mean(row["acc_val_best"] or 0.0 for row in made) for name, made in runs.items()}
        best = max(STARTS, key=lambda name: val[name])
        cells = [f"**{_cell(made)}**" if name == best else _cell(made) for name, made in runs.items()]
        lines.append([dataset, optimizer, *cells, str(len(shared))])
    return markdown(["graph", "optimizer", *STARTS, "n"], lines, labels=2)


def _cell(rows: list[Row]) -> str:
    """Mean test accuracy, or the statuses of runs that failed."""
    failed = sorted({row["status"] for row in rows if row["status"] != "ok"})
    return ", ".join(failed) or f"{mean(row['acc_test_at_best_val'] for row in rows):.1%}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (TABLE, table)))
