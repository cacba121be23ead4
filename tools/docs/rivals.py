"""The tables of docs/rivals.md and README.md: each method on one and two workers, from the rows in ``reports/rivals``.

    pdadmm-bench suite runners/rivals.toml
    python tools/docs/rivals.py results/rivals    # takes rows and curves of the suite first
    python tools/docs/rivals.py                   # writes the tables
    python tools/docs/rivals.py --check           # fails where a page has other numbers than the rows

Seconds are training seconds, the warm start's included, until a run's validation accuracy reaches 99 % of the best that
any method reached on the same seed and split. The speedup is pair by pair, against the same method on one worker.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from math import isfinite
from statistics import median

from depth import interval
from marked import ROOT, Marked, main, markdown
from methods import method_of, pair_of, seconds_cell

from pdadmm_bench.core.names import mesh_word
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.tables.near_best import seconds_to_near_best

FOLDER = ROOT / "reports" / "rivals"
PAGE = ROOT / "docs" / "rivals.md"
FEW = Marked("rivals-few", FOLDER / "rows.json.gz", (ROOT / "README.md", PAGE))
MANY = Marked("rivals-many", FOLDER / "rows.json.gz", (PAGE,))
HEADER = (
    "method", "two workers share", "test accuracy, %", "ms per iteration", "× one worker", "seconds to 99 %",
    "× the fastest worker alone", "MB sent per iteration", "peak MiB of a worker",
)  # fmt: skip


def layout_of(row: Row) -> str:
    """What two workers share; a dash for one worker."""
    if row["dist_workers"] == 1:
        return "–"
    schedule = f" ({row['dist_schedule']})" if row.get("dist_schedule") else ""
    return mesh_word(row.get("dist_mesh")) or f"layers{schedule}"


def few(rows: list[Row]) -> str:
    """Few rows, wide layers."""
    return _table(rows, "pubmed")


def many(rows: list[Row]) -> str:
    """Many rows, narrow layers."""
    return _table(rows, "photo")


def _table(rows: list[Row], dataset: str) -> str:
    """One line for each method and layout, the soonest method first, and its layouts by seconds."""
    reached = seconds_to_near_best(rows, FEW.histories())
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] == "ok" and row["dataset_name"] == dataset:
            groups[method_of(row), layout_of(row)].append(row)
    seconds = {key: [reached[row["run_id"]] for row in found] for key, found in groups.items()}
    alone = min((median(seconds[key]), key) for key in groups if key[1] == "–")[1]
    soonest = {method: min(median(seconds[key]) for key in groups if key[0] == method) for method, _ in groups}
    order = sorted(groups, key=lambda key: (soonest[key[0]], key[0], key[1] != "–", median(seconds[key])))
    lines = []
    for key in order:
        found, one = groups[key], groups[key[0], "–"]
        lines.append(
            [
                *key,
                interval([row["acc_test_at_best_val"] for row in found], 1),
                f"{1000 * median(row['time_iteration_median_s'] for row in found):.1f}",
                _ratio(_times(one), _times(found)) if key[1] != "–" else "–",
                seconds_cell(seconds[key]),
                _ratio(_by_pair(groups[alone], seconds[alone]), _by_pair(found, seconds[key])),
                f"{(found[0]['dist_sent_bytes'] + found[0].get('dist_reduced_bytes', 0)) / 1e6:.1f}",
                f"{median(row['memory_peak_bytes'] for row in found) / 2**20:.0f}",
            ]
        )
    return markdown(HEADER, lines, labels=2)


def _times(rows: Sequence[Row]) -> dict[object, float]:
    return _by_pair(rows, [row["time_iteration_median_s"] for row in rows])


def _by_pair(rows: Sequence[Row], values: Sequence[float]) -> dict[object, float]:
    return {pair_of(row): value for row, value in zip(rows, values, strict=True)}


def _ratio(reference: dict[object, float], mine: dict[object, float]) -> str:
    """How many times sooner than the reference, pair by pair: median, least and most, where all pairs get there."""
    ratios = [reference[pair] / mine[pair] for pair in reference.keys() & mine.keys()]
    if not ratios or not all(isfinite(ratio) and ratio for ratio in ratios):
        return "–"
    return f"{median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


TABLES = ((FEW, few), (MANY, many))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
