"""The tables of ``compare``: side B against side A, with a verdict per line, and the sentences below them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from pdadmm_bench.core.names import setting_word
from pdadmm_bench.report.table import NOTHING, Cell, Column, Kind, Table, Tone, text
from pdadmm_bench.stats.comparison import ComparedSides, ComparisonLine
from pdadmm_bench.stats.estimate import Estimate
from pdadmm_bench.stats.metrics import WORDS, Metric
from pdadmm_bench.stats.metrics import Kind as MetricKind
from pdadmm_bench.stats.paired import ALPHA, Comparison

_KINDS: dict[MetricKind, Kind] = {
    "accuracy": "accuracy", "time": "seconds", "bytes": "bytes", "loss": "number", "iterations": "number",
}  # fmt: skip
_KIND_NAMES: dict[MetricKind, str] = {
    "accuracy": "accuracy", "time": "time", "bytes": "size", "loss": "loss", "iterations": "iterations",
}  # fmt: skip
_TONES: dict[str | None, Tone] = {"better": "good", "worse": "bad"}


def comparison_tables(sides: ComparedSides) -> list[Table]:
    """A table for each metric, a line for each setting."""
    tables = []
    for metric in dict.fromkeys(line.comparison.metric for line in sides.lines):
        mine = [line for line in sides.lines if line.comparison.metric == metric]
        scale = "median of B / A" if metric.is_ratio else "mean of B − A, in points"
        names = list(mine[0].setting)
        kind: Kind = "factor" if metric.is_ratio else "points"
        heads = [
            *(Column(setting_word(name)) for name in names),
            Column("A", _KINDS[metric.kind]), Column("B", _KINDS[metric.kind]),
            Column("B / A" if metric.is_ratio else "B − A", kind), Column("95 % interval", kind),
            Column("pairs", "count"), Column("p (Holm)", "number"), Column("verdict"),
        ]  # fmt: skip
        lines = [_cells(line, names) for line in mine]
        tables.append(Table(f"comparison-{metric.name}", f"{metric.name}: {scale}", heads, lines))
    return tables


def _cells(line: ComparisonLine, names: Sequence[str]) -> list[Cell]:
    found = line.comparison
    effect, metric = found.effect, found.metric
    p = found.p_corrected
    return [
        *(Cell(NOTHING if line.setting[name] is None else str(line.setting[name])) for name in names),
        _side(found.a, metric, line.misses[0], found.pairs),
        _side(found.b, metric, line.misses[1], found.pairs),
        Cell(effect.value),
        Cell() if effect.low is None or effect.high is None else _interval(effect.low, effect.high, metric),
        Cell(found.pairs),
        Cell(p, shown=None if p is None else f"{p:.2g}"),
        Cell(verdict_words(found), tone=_TONES.get(found.verdict, "")),
    ]


def _side(estimate: Estimate, metric: Metric, misses: int, pairs: int) -> Cell:
    return Cell(estimate.value, suffix=f"{pairs - misses} of {pairs} reached" if metric.of_target and pairs else "")


def _interval(low: float, high: float, metric: Metric) -> Cell:
    kind: Kind = "factor" if metric.is_ratio else "points"
    return Cell(" … ".join(text(Cell(end), Column("", kind)) for end in (low, high)))


def verdict_words(found: Comparison) -> str:
    """The verdict as a table says it: ``B faster``, or the verdict and, where there is one, its reason."""
    better, worse = WORDS[found.metric.kind]
    if found.verdict in ("better", "worse"):
        return f"B {better if found.verdict == 'better' else worse}"
    return f"{found.verdict} ({found.reason})" if found.reason else str(found.verdict)


def decision_rule(sides: ComparedSides, smallest_difference: float, smallest_factor: float, apart: bool) -> str:
    """The condition under which the table calls side B better or worse; smallest effects are fractions of 1."""
    tested = Counter(line.comparison.metric.kind for line in sides.lines if line.comparison.p_corrected is not None)
    if not tested:
        needed = max(line.comparison.needed for line in sides.lines)
        return f"no line was tested: {needed} pairs of each are enough for all of them at {100 * ALPHA:g} %"
    tests = " and ".join(f"{count(number, 'test')} of {_KIND_NAMES[kind]}" for kind, number in tested.items())
    points, percent = 100 * smallest_difference, 100 * smallest_factor
    return (
        f"B is called better or worse where the interval excludes the value of no difference, p ≤ {ALPHA:g} (sign "
        f"flips, Holm's correction for {tests}), and the effect is larger than {points:g} points or "
        f"{percent:g} %" + ("" if apart else "; times only where A and B were measured in turn")
    )


def remarks(sides: ComparedSides) -> Iterator[str]:
    """A sentence on everything that could not be compared, and on what else differs between the sides."""
    for line in sides.lines:
        for reason, pairs in line.left_out.items():
            where = _where(sides, line)
            yield f"left out of {line.comparison.metric.name}{where}: {count(pairs, 'pair')}: {reason}"
    for letter, unpaired in (("A", sides.unpaired_a), ("B", sides.unpaired_b)):
        for reason, rows in unpaired.items():
            yield f"without a partner: {count(rows, 'row')} of {letter}: {reason}"
    for name, changes in sides.other_differences.items():
        yield f"also differs: {name} {_few([_brief(change) for change in changes])}"


def count(number: int, noun: str) -> str:
    """``1 pair``, ``2 pairs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _where(sides: ComparedSides, line: ComparisonLine) -> str:
    if len({str(other.setting) for other in sides.lines}) == 1:
        return ""
    return " (" + ", ".join(str(value) for value in line.setting.values()) + ")"


def _brief(change: str) -> str:
    """The change with hashes and commits cut to their first digits."""
    return re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30,}\b", r"\1", change)


def _few(changes: Sequence[str]) -> str:
    shown = ", ".join(changes[:3])
    return shown if len(changes) <= 3 else f"{shown} and {len(changes) - 3} more"
