"""The table of training losses of the deep stage in docs/results.md, from the rows in ``reports/accuracy``.

    pdadmm-bench suite runners/tuning/penalties-by-depth.toml
    python tools/docs/deep_stage.py results/penalties-by-depth    # takes the rows of this suite first
    python tools/docs/deep_stage.py                               # writes the table
    python tools/docs/deep_stage.py --check                       # fails where the page has other numbers than the rows

Ten layers from the common start: the median training loss at the end of the two-layer stage and after the ten layers,
and the number of runs in which the later one is higher. The line of ``nu_per = depth`` has rows of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from statistics import median

from headline import TABLE, deep
from marked import ROOT, Marked, main, markdown

from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row

LOSSES = Marked(
    "deep-stage", ROOT / "reports" / "tuning" / "penalties-by-depth.json.gz", (ROOT / "docs" / "results.md",)
)
BY_DEPTH = "pdadmm, nu_per = depth"


def losses(rows: list[Row]) -> str:
    """Methods down, graphs across; ``rows`` are those with penalties by depth."""
    by_method = {BY_DEPTH: rows}
    for row in deep(TABLE.load()):
        by_method.setdefault(row["optimizer_name"], []).append(row)
    datasets, histories = sorted({row["dataset_name"] for row in rows}), {**TABLE.histories(), **LOSSES.histories()}
    order = sorted(by_method, key=lambda name: ("pdadmm" not in name, name))
    lines = [_line(method, by_method[method], datasets, histories) for method in order]
    return markdown(["two layers → ten; runs that rise", *datasets], lines)


def _line(name: str, rows: list[Row], datasets: Sequence[str], histories: Mapping[str, History]) -> list[str]:
    by_graph = ([row for row in rows if row["dataset_name"] == dataset] for dataset in datasets)
    return [name, *(_cell([histories[row["run_id"]] for row in found if row["status"] == "ok"]) for found in by_graph)]


def _cell(found: Sequence[History]) -> str:
    if not found:
        return "–"
    before, after = ([steps[place]["loss_train"] for steps in found] for place in (0, -1))
    rises = sum(last > first for first, last in zip(before, after, strict=True))
    return f"{median(before):.3f} → {median(after):.3f} ({rises}/{len(found)})"


TABLES = ((LOSSES, losses),)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
