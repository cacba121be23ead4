"""The ablation's table in docs/accuracy.md, from the rows of ``runners/tuning/ablation.toml``.

    pdadmm-bench suite runners/tuning/ablation.toml -j 2
    python tools/ablation.py results/ablation    # takes the rows of the suite first
    python tools/ablation.py                     # writes it
    python tools/ablation.py --check             # fails where the page has other numbers than the rows

Best validation accuracy, mean over seeds; of a variant, the mean difference to the run as it is, seed by seed.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from statistics import mean

from marked import ROOT, Marked, main, markdown

from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import RunSpec

PAGES = (ROOT / "docs" / "accuracy.md",)
TABLE = Marked("ablation", ROOT / "reports" / "tuning" / "ablation.json.gz", PAGES)
REMOVED = Marked("removed", ROOT / "reports" / "tuning" / "ablation-removed.json.gz", PAGES)
"""What was built, brought nothing and is gone, so that its rows cannot be made again; with the defaults of its time."""
APART = ("dataset", "seed")
SETTINGS = {"hidden": 500, "iterations": 100, "eval_every": 10, "threads": 1}
"""What all runs of the suite have."""
BASE = "as it is"


def variant(row: Row) -> str:
    """What a run changes, as settings; :data:`BASE` for nothing."""
    spec, base = json.loads(row["spec"]), {**RunSpec().flat(), **SETTINGS}
    changed = {name: value for name, value in spec.items() if name not in APART and value != base[name]}
    changed |= changed.pop("set", {})
    return ", ".join(f"{name} = {value}" for name, value in changed.items()) or BASE


def table(rows: list[Row]) -> str:
    """In Markdown; raises ``ValueError`` without runs as they are."""
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        found[variant(row)][row["dataset_name"]][row["seed"]] = row["acc_val_best"] or 0.0
    if BASE not in found:
        raise ValueError("no run is as it is, so there is nothing to compare with")
    datasets = sorted(found[BASE])
    lines = []
    for name in (BASE, *(name for name in found if name != BASE)):
        lines.append([name, *(_cell(found[name][dataset], found[BASE][dataset], name) for dataset in datasets)])
    return markdown(["changed", *datasets], lines)


def _cell(values: dict[int, float], base: dict[int, float], name: str) -> str:
    shared = sorted(values.keys() & base.keys())
    if not shared:
        return "–"
    if name == BASE:
        return f"{mean(values.values()):.1%}"
    return f"{100 * mean(values[seed] - base[seed] for seed in shared):+.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (TABLE, table), (REMOVED, table)))
