"""The tables of pdADMM and pdADMM-M against each other optimizer in docs/accuracy.md, from ``reports/accuracy``.

    python tools/docs/paired.py            # writes it
    python tools/docs/paired.py --check    # fails where the page has other numbers than the rows

Ten layers from the common start; a pair has the seed and the split in common. The tables have the difference in test
accuracy, in points: the method less the other optimizer. Intervals are 95 % bootstrap intervals. Bold is what the
paired test shows, in either direction, at 5 % after Holm's correction over the graphs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from headline import LAYERS, deep
from headline import TABLE as HEADLINE
from marked import ROOT, Marked, main, markdown

from pdadmm_bench.core.rows import Row
from pdadmm_bench.stats.comparison import compare_rows
from pdadmm_bench.stats.metrics import metric
from pdadmm_bench.stats.paired import Comparison

PAGES = (ROOT / "docs" / "accuracy.md",)
AHEAD, AHEAD_M = (Marked(name, HEADLINE.rows, PAGES) for name in ("ahead", "ahead-m"))
METHOD = "pdadmm"


def ahead(rows: list[Row]) -> str:
    """Points of test accuracy: pdADMM less the other."""
    return against(rows, "acc_test_at_best_val", points, b_is_method=True)


def ahead_m(rows: list[Row]) -> str:
    """The same for pdADMM-M."""
    return against(rows, "acc_test_at_best_val", points, b_is_method=True, name="pdadmm-m")


def against(
    rows: list[Row], column: str, shown: Callable[[Comparison], str], b_is_method: bool, name: str = METHOD
) -> str:
    """``column`` of the rows of method ``name`` and of each other's, pair by pair: optimizers down, graphs across.

    Raises ``ValueError`` without a run of it.
    """
    compared = deep(rows)
    method = [row for row in compared if row["optimizer_name"] == name]
    if not method:
        raise ValueError(f"no row of {name} has {LAYERS} layers from the common start")
    datasets = sorted({row["dataset_name"] for row in method})
    lines = []
    for optimizer in sorted({row["optimizer_name"] for row in compared} - {name}):
        other = [row for row in compared if row["optimizer_name"] == optimizer]
        sides = (other, method) if b_is_method else (method, other)
        # The runs had one machine and one thread; which of them were measured in turn says the page.
        found = compare_rows(*sides, [metric(column)], by=["dataset"], apart=True)
        cells = {line.setting["dataset"]: shown(line.comparison) for line in found.lines}
        lines.append([optimizer, *(cells.get(dataset, "–") for dataset in datasets)])
    return markdown([f"{name} against", *datasets], lines)


def points(found: Comparison) -> str:
    """The difference of two accuracies in points, with its interval and n; bold where the paired test shows it."""
    return cell(found, lambda value: f"{100 * value:+.1f}".replace("-", "−"))


def cell(found: Comparison, number: Callable[[float], str]) -> str:
    """The effect as ``number`` writes it, with its interval and n; bold where the paired test shows it."""
    effect = found.effect
    if effect.value is None:
        return "–"
    value = number(effect.value)
    if found.verdict in ("better", "worse"):
        value = f"**{value}**"
    if effect.low is not None and effect.high is not None:
        value += f" [{number(effect.low)}, {number(effect.high)}]"
    return f"{value} (n={effect.n})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (AHEAD, ahead), (AHEAD_M, ahead_m)))
