"""The area under the ROC curve, of problems with two classes: a line per dataset, network and optimizer."""

from __future__ import annotations

from collections.abc import Sequence

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.table import Column, Table, cell
from pdadmm_bench.report.tables.settings import columns, gather, headings, once, setting_cells
from pdadmm_bench.stats.estimate import aggregate

PARTS = {"validation": "acc_roc_auc_val_best", "test": "acc_roc_auc_test_at_best_val"}


def roc_auc_table(rows: Sequence[Row]) -> Table | None:
    """Mean over runs, with its 95 % bootstrap interval; None where no row has one."""
    lines = gather(row for row in rows if row.get(PARTS["test"]) is not None)
    if not lines:
        return None
    names = columns(lines)
    return Table(
        "roc-auc",
        "Area under the ROC curve at its best validation value: mean [95 % bootstrap interval]",
        [*headings(names), *(Column(part, "accuracy") for part in PARTS)],
        [
            [
                *setting_cells(line, names),
                *(cell(aggregate((row.get(name) for row in once(line.rows)), "mean")) for name in PARTS.values()),
            ]
            for line in lines
        ],
        ["compare --metric acc_roc_auc_test_at_best_val says which is shown to be better"],
    )
