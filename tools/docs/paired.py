"""The tables of pdADMM and pdADMM-M against each other optimizer in docs/accuracy.md, from ``reports/accuracy``.

    python tools/docs/paired.py            # writes it
    python tools/docs/paired.py --check    # fails where the page has other numbers than the rows

Ten layers from the common start; a pair has the seed and the split in common. The tables have the difference in test
accuracy, in points: the method less the other optimizer. Intervals are 95 % bootstrap intervals. Bold is what the
paired test shows, in either direction, at 5 % after Holm's correction over the graphs.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable

from headline import TABLE as HEADLINE
from headline import deep
from marked import ROOT, Marked, main, markdown
from methods import method_of

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.units import signed
from pdadmm_bench.stats.comparison import compare_rows
from pdadmm_bench.stats.metrics import metric
from pdadmm_bench.stats.paired import Comparison

PAGES = (ROOT / "docs" / "accuracy.md",)
AHEAD, AHEAD_M = (Marked(name, HEADLINE.rows, PAGES) for name in ("ahead", "ahead-m"))
METHOD, METHOD_M = "pdadmm", "pdadmm-m"


def ahead(rows: list[Row]) -> str:
    """Points of test accuracy: pdADMM less the other."""
    return against(deep(rows), METHOD)


def ahead_m(rows: list[Row]) -> str:
    """The same for pdADMM-M."""
    return against(deep(rows), METHOD_M)


def points(found: Comparison) -> str:
    """The difference of two accuracies in points, with its interval and n; bold where the paired test shows it."""
    return cell(found, lambda difference: signed(100 * difference))


def against(
    rows: list[Row],
    ours: str,
    column: str = "acc_test_at_best_val",
    shown: Callable[[Comparison], str] = points,
    baseline: bool = True,
) -> str:
    """``column`` of the runs of ``ours`` and of each other method, pair by pair: methods down, graphs across.

    Args:
        baseline: whether the other method is what ours is compared with, or ours is.

    Raises ``ValueError`` without a run of ``ours``.
    """
    by_method: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_method[method_of(row)].append(row)
    if ours not in by_method:
        raise ValueError(f"no row is of {ours}")
    datasets = sorted({row["dataset_name"] for row in by_method[ours]})
    lines = []
    for method, other in sorted(by_method.items()):
        if method == ours:
            continue
        sides = (other, by_method[ours]) if baseline else (by_method[ours], other)
        # The runs had one machine and one thread; which of them were measured in turn says the page.
        found = compare_rows(*sides, [metric(column)], by=["dataset"], apart=True)
        cells = {line.setting["dataset"]: shown(line.comparison) for line in found.lines}
        if set(cells.values()) == {"–"}:  # on a processor that rounds features otherwise: other data
            continue
        lines.append([method, *(cells.get(dataset, "–") for dataset in datasets)])
    return markdown([f"{ours} against", *datasets], lines)


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


TABLES = ((AHEAD, ahead), (AHEAD_M, ahead_m))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
