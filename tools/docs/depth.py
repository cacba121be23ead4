"""The table of docs/many-labels.md that shows what depth is good for, from the rows of ``runners/depth.toml``.

    pdadmm-bench suite runners/depth.toml
    python tools/docs/depth.py results/depth    # takes the rows of the suite first
    python tools/docs/depth.py                  # writes it
    python tools/docs/depth.py --check          # fails where the page has other numbers than the rows

Of the learning rates of a task and depth the one with the best validation accuracy counts; of two equal ones the lower.
Only tasks that have every depth and learning rate are in the table. Depths are compared within a task.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict

from marked import ROOT, Marked, main, markdown

from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.stats.estimate import aggregate

TABLE = Marked("depth", ROOT / "reports" / "depth" / "rows.json.gz", (ROOT / "docs" / "many-labels.md",))
HEADER = ("layers", "test accuracy", "least and most", "points ahead of two layers", "training loss", "learning rates")


def rate(row: Row) -> float:
    """The learning rate of a run."""
    return float(json.loads(row["spec"])["set"]["lr"])


def chosen(rows: list[Row]) -> dict[int, dict[str, Row]]:
    """The row that counts, by layers and task."""
    found: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        if status_of(row).complete:
            found[row["dataset_name"], row["model_layers"]].append(row)
    most = max(map(len, found.values()))
    depths = {layers for _, layers in found}
    tasks = sorted({task for task, _ in found})
    whole = [task for task in tasks if all(len(found.get((task, layers), ())) == most for layers in depths)]
    return {
        layers: {task: max(found[task, layers], key=lambda row: (row["acc_val_best"], -rate(row))) for task in whole}
        for layers in sorted(depths)
    }


def table(rows: list[Row]) -> str:
    """The table in Markdown; raises ``ValueError`` without a network of two layers."""
    best = chosen(rows)
    if not best.get(2):
        raise ValueError("no task has runs at every depth and with every learning rate, two layers among them")
    lines = []
    for layers, by_task in best.items():
        tests = [row["acc_test_at_best_val"] for row in by_task.values()]
        ahead = [row["acc_test_at_best_val"] - best[2][task]["acc_test_at_best_val"] for task, row in by_task.items()]
        loss = aggregate((row["loss_train_final"] for row in by_task.values()), "mean").value or 0.0
        rates = ", ".join(f"{value:g}" for value in sorted({rate(row) for row in by_task.values()}))
        lines.append(
            [
                str(layers),
                interval(tests, 1),
                f"{100 * min(tests):.1f} to {100 * max(tests):.1f} %",
                "–" if layers == 2 else interval(ahead, 1),
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (TABLE, table)))
