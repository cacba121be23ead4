"""The tables of docs/many-labels.md about 60 % of the rows, from the rows in ``reports/many-labels``.

    pdadmm-bench suite runners/many-labels.toml
    python tools/docs/many_labels.py results/many-labels    # takes rows and curves of the suite first; after
                                                            # reports/many-labels/rows.json.gz they join those
    python tools/docs/many_labels.py                        # writes the tables
    python tools/docs/many_labels.py --check                # fails where the page has other numbers than the rows

A pair has the seed and the split in common. Seconds, and the picture of them, are made by ``many_sooner.py``.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from statistics import mean, median

from depth import interval
from marked import ROOT, Marked, main, markdown
from methods import method_of
from paired import METHOD, METHOD_M, against

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.units import signed

FOLDER, PAGES = ROOT / "reports" / "many-labels", (ROOT / "docs" / "many-labels.md",)
NAMES = ("acc", "stages", "ahead", "ahead-m")
ACCURACY, STAGES, AHEAD, AHEAD_M = (Marked(f"many-{name}", FOLDER / "rows.json.gz", PAGES) for name in NAMES)


def grouped(rows: list[Row]) -> dict[str, dict[str, list[Row]]]:
    """The complete rows by method and dataset, in the order of the table."""
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["status"] == "ok":
            found[method_of(row)][row["dataset_name"]].append(row)
    return dict(sorted(found.items(), key=lambda item: ("from" in item[0], item[0] not in (METHOD, METHOD_M), item[0])))


def datasets_of(rows: list[Row]) -> list[str]:
    """The datasets by name."""
    return sorted({row["dataset_name"] for row in rows})


def accuracy(rows: list[Row]) -> str:
    """Mean test accuracy at the best validation accuracy, with its bootstrap interval."""
    names = datasets_of(rows)
    lines = []
    for method, by_name in grouped(rows).items():
        accuracies = [[row["acc_test_at_best_val"] for row in by_name.get(name, [])] for name in names]
        cells = [interval(values, 1) if values else "–" for values in accuracies]
        lines.append([method, *cells])
    return markdown(["test accuracy, %", *names], lines)


def stages(rows: list[Row]) -> str:
    """The two-layer stage's last test accuracy, points that the result is ahead of it, and the best iteration since."""
    histories, names = STAGES.histories(), datasets_of(rows)
    lines = []
    for method, by_name in grouped(rows).items():
        cells = []
        for made in (by_name.get(name, []) for name in names):
            if not made:
                cells.append("–")
                continue
            before = [histories[row["run_id"]][0]["acc_test"] for row in made]
            gained = [row["acc_test_at_best_val"] - start for row, start in zip(made, before, strict=True)]
            best = median(row["acc_best_iteration"] for row in made)
            cells.append(f"{100 * mean(before):.1f}; {signed(100 * mean(gained))}; {best:g}")
        lines.append([method, *cells])
    return markdown(["two layers, %; points of ten; best iteration", *names], lines)


def ahead(rows: list[Row]) -> str:
    """Points of test accuracy, pair by pair: pdADMM less the other; bold is what the paired test shows."""
    return against(rows, METHOD)


def ahead_m(rows: list[Row]) -> str:
    """The same for pdADMM-M."""
    return against(rows, METHOD_M)


TABLES = ((ACCURACY, accuracy), (STAGES, stages), (AHEAD, ahead), (AHEAD_M, ahead_m))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
