"""The table of docs/many-labels.md that shows what depth is good for, from the rows of ``runners/depth.toml``.

    pdadmm-bench suite runners/depth.toml
    python tools/docs/depth.py results/depth    # takes the rows of the suite first
    python tools/docs/depth.py                  # writes it
    python tools/docs/depth.py --check          # fails where the page has other numbers than the rows

Of the learning rates of a task and depth the one with the best validation accuracy counts; of two equal ones the lower.
Only tasks that have every learning rate at a depth are in its line; n says how many. Depths are compared within a task.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict

from marked import ROOT, Marked, main, markdown

from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.stats.estimate import aggregate

TABLE = Marked("depth", ROOT / "reports" / "depth" / "rows.json.gz", (ROOT / "docs" / "many-labels.md",))
COMMON = 500
"""The iterations that a line has unless it says otherwise."""
HEADER = ("layers", "test accuracy", "least and most", "points ahead of two layers", "training loss", "learning rates")


def rate(row: Row) -> float:
    """The learning rate of a run."""
    return float(json.loads(row["spec"])["set"]["lr"])


Length = tuple[int, int]
"""Layers, and iterations."""


def length(row: Row) -> Length:
    """Of a run."""
    return row["model_layers"], int(json.loads(row["spec"])["iterations"])


def chosen(rows: list[Row]) -> dict[Length, dict[str, Row]]:
    """The row that counts, by layers, iterations and task."""
    found: dict[tuple[str, Length], list[Row]] = defaultdict(list)
    for row in rows:
        if status_of(row).complete:
            found[row["dataset_name"], length(row)].append(row)
    most = max(map(len, found.values()))
    best: dict[Length, dict[str, Row]] = defaultdict(dict)
    for (task, of), tried in sorted(found.items()):
        if len(tried) == most:
            best[of][task] = max(tried, key=lambda row: (row["acc_val_best"], -rate(row)))
    return dict(sorted(best.items()))


def table(rows: list[Row]) -> str:
    """The table in Markdown; raises ``ValueError`` without a network of two layers."""
    best = chosen(rows)
    two = best.get((2, COMMON))
    if not two:
        raise ValueError("no task has every learning rate at two layers, with which the others are compared")
    lines = []
    for (layers, iterations), by_task in best.items():
        tests = [row["acc_test_at_best_val"] for row in by_task.values()]
        both = by_task.keys() & two.keys()
        ahead = [by_task[task]["acc_test_at_best_val"] - two[task]["acc_test_at_best_val"] for task in sorted(both)]
        loss = aggregate((row["loss_train_final"] for row in by_task.values()), "mean").value or 0.0
        rates = ", ".join(f"{value:g}" for value in sorted({rate(row) for row in by_task.values()}))
        lines.append(
            [
                str(layers) if iterations == COMMON else f"{layers}, {iterations:,} iterations",
                interval(tests, 1),
                f"{100 * min(tests):.1f} to {100 * max(tests):.1f} %",
                "–" if by_task is two else interval(ahead, 1),
                f"{loss:.3f}",
                rates,
            ]
        )
    return markdown(HEADER, lines, labels=0)


def interval(values: list[float], digits: int) -> str:
    """Mean and interval in percent or points, with n."""
    found = aggregate(values, "mean")
    assert found.value is not None
    between = "" if found.low is None else f" [{100 * found.low:.{digits}f}, {100 * (found.high or 0):.{digits}f}]"
    return f"{100 * found.value:.{digits}f}{between} (n={found.n})"


TABLES = ((TABLE, table),)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
