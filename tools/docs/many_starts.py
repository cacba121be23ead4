"""The table of other starting points in docs/many-labels.md, from ``reports/tuning/many-labels-starts.json.gz``.

    pdadmm-bench suite runners/tuning/many-labels-starts.toml -j 2
    pdadmm-bench suite runners/tuning/many-labels-starts-again.toml -j 2
    pdadmm-bench suite runners/tuning/many-labels-starts-kept-out.toml -j 2
    python tools/docs/many_starts.py results/many-labels-starts*    # takes their rows
    python tools/docs/many_starts.py            # writes the table
    python tools/docs/many_starts.py --check    # fails where the page has other numbers than the rows

For each graph, method and start at full depth: of the settings with runs on all splits, the one with the highest mean
validation accuracy, which on Computers is the only one. The rows of the common start are those of the comparison on the
same splits.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from statistics import mean, median

from depth import interval
from many_labels import ACCURACY as COMMON_START
from many_labels import PAGES
from marked import ROOT, Marked, main, markdown
from methods import method_of
from starts import COMMON, start

from pdadmm_bench.core.rows import Row

TABLE = Marked("many-starts", ROOT / "reports" / "tuning" / "many-labels-starts.json.gz", PAGES)
HEADER = ("graph", "method", "start", "validation accuracy, %", "test accuracy, %", "seconds to 99 % of its own best")


def table(rows: list[Row]) -> str:
    """Graphs, methods and starts down; means over the splits, and the median of the seconds."""
    splits = {row["dataset_split_seed"] for row in rows}
    places = {(row["optimizer_name"], row["dataset_name"], split) for row in rows for split in splits}
    common = [
        row for row in COMMON_START.load() if (method_of(row), row["dataset_name"], row["dataset_split_seed"]) in places
    ]
    found: dict[tuple[str, str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in [*rows, *common]:
        settings = json.dumps(json.loads(row["spec"])["set"], sort_keys=True)
        found[row["dataset_name"], row["optimizer_name"], start(row)][settings].append(row)
    chosen = {place: best(tried.values(), len(splits)) for place, tried in found.items()}
    lines = []
    for (*place, name), made in sorted(chosen.items(), key=lambda item: (*item[0][:2], item[0][2] != COMMON)):
        accuracies = (interval([row[value] for row in made], 1) for value in ("acc_val_best", "acc_test_at_best_val"))
        lines.append([*place, name, *accuracies, f"{median(row['time_to_near_best_s'] for row in made):.1f}"])
    return markdown(HEADER, lines, labels=3)


def best(settings: Iterable[list[Row]], splits: int) -> list[Row]:
    """The runs of the setting with the highest mean validation accuracy, of those that ran on every split."""
    repeated = [made for made in settings if len(made) == splits]
    return max(repeated, key=lambda made: mean(row["acc_val_best"] or 0.0 for row in made))


TABLES = ((TABLE, table),)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
