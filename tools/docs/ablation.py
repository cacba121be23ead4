"""The ablations' tables in docs/accuracy.md, docs/history.md and docs/many-labels.md, from the rows of their suites.

    pdadmm-bench suite runners/tuning/ablation.toml -j 2
    python tools/docs/ablation.py results/ablation    # takes the rows of the suite first
    python tools/docs/ablation.py                     # writes it
    python tools/docs/ablation.py --check             # fails where the page has other numbers than the rows

``tools/docs/many_ablation.py`` does the same for ``runners/tuning/ablation-many.toml``. The first table has the best
validation accuracy: the mean over the pairs of the unchanged run, and for each variant the mean difference from it
within a pair, which has a seed and a split in common. The second has the training seconds to 99 % of a run's own best,
as medians over the pairs.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from statistics import mean, median
from typing import Any

from marked import ROOT, Marked, main, markdown
from methods import Pair, pair_of

from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import RunSpec

PAGES = (ROOT / "docs" / "accuracy.md",)
TABLE = Marked("ablation", ROOT / "reports" / "tuning" / "ablation.json.gz", PAGES)
SECONDS = Marked("ablation-seconds", TABLE.rows, PAGES)
REMOVED = Marked("removed", ROOT / "reports" / "tuning" / "ablation-removed.json.gz", (ROOT / "docs" / "history.md",))
"""Variants that improved nothing and were removed. Their rows have earlier defaults and cannot be made again."""
APART = ("dataset", "optimizer", "split", "reduce", "hidden", "eval_every", "seed", "split_seed")
"""What no variant changes: the settings of columns and pairs, and those that all rows of a table share."""
SETTINGS = {"iterations": 100, "threads": 1}
"""Settings of all runs that a variant may change."""
BASE = "as it is"


def variant(row: Row) -> str:
    """The settings that a run changes, in words; :data:`BASE` for none."""
    spec, base = json.loads(row["spec"]), {**RunSpec().flat(), **SETTINGS}
    changed = {name: value for name, value in spec.items() if name not in APART and value != base[name]}
    changed |= changed.pop("set", {})
    return ", ".join(f"{name} = {value}" for name, value in changed.items()) or BASE


def by_variant(rows: list[Row], name: str) -> dict[str, dict[str, dict[Pair, Any]]]:
    """The value ``name`` by variant, graph and pair, the unchanged run first; raises ``ValueError`` without it."""
    found: dict[str, dict[str, dict[Pair, Any]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        found[variant(row)][row["dataset_name"]][pair_of(row)] = row[name]
    if BASE not in found:
        raise ValueError("no run is as it is, so there is nothing to compare with")
    return {BASE: found.pop(BASE), **found}


def table(rows: list[Row]) -> str:
    """Accuracies in Markdown."""
    found = by_variant(rows, "acc_val_best")
    return _table(found, lambda name, dataset: _points(found[name][dataset], found[BASE][dataset], name))


def seconds(rows: list[Row]) -> str:
    """Times in Markdown."""
    found = by_variant(rows, "time_to_near_best_s")
    return _table(found, lambda name, dataset: _median(found[name][dataset].values()))


def _table(found: dict[str, dict[str, dict[Pair, Any]]], cell: Callable[[str, str], str]) -> str:
    datasets = sorted(found[BASE])
    return markdown(["changed", *datasets], [[name, *(cell(name, each) for each in datasets)] for name in found])


def _points(values: dict[Pair, float | None], base: dict[Pair, float | None], name: str) -> str:
    shared = sorted(values.keys() & base.keys())
    if not shared:
        return "–"
    if name == BASE:
        return f"{mean(value or 0.0 for value in values.values()):.1%}"
    return f"{100 * mean((values[pair] or 0.0) - (base[pair] or 0.0) for pair in shared):+.1f}"


def _median(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):.1f} s" if known else "–"


TABLES = ((TABLE, table), (SECONDS, seconds), (REMOVED, table))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
