"""The tables of the regression gate: a line per benchmark, with its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from pdadmm_bench.report.table import NOTHING, Cell, Column, Table, Tone
from pdadmm_bench.report.units import signed

#: The checks that have a column, with its heading.
CHECKS = {
    "accuracy": "test accuracy", "loss curve": "loss curve", "iterations": "iterations to target", "bytes": "bytes",
    "state memory": "state", "peak memory": "peak", "time": "time",
}  # fmt: skip

_TONES: Mapping[str, Tone] = {
    "worse": "bad", "better": "good", "not comparable": "warning", "missing": "warning", "new": "dim",
}  # fmt: skip


class CheckResult(Protocol):
    """The result of one check: effect and interval, in points for accuracy, else as a relative change (0.1 is 10 %)."""

    @property
    def check(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def effect(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


class BenchmarkResult(Protocol):
    """One benchmark, head against base."""

    @property
    def name(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def findings(self) -> Sequence[CheckResult]: ...


def effect_text(found: CheckResult) -> str:
    """``+1.2 % [+0.8, +1.6]``; a dash where there is no number."""
    if found.effect is None:
        return NOTHING
    points = found.check == "accuracy"
    scale, digits, unit = (1, 2, "points") if points else (100, 1, "%")

    def number(value: float) -> str:
        if math.isinf(value):
            return "never reached" if found.check == "iterations" else "∞"
        return signed(round(scale * value, digits) + 0.0, digits)  # no −0.0

    value = number(found.effect) + ("" if math.isinf(found.effect) else f" {unit}")
    if found.low is None or found.high is None:
        return value
    return f"{value} [{number(found.low)}, {number(found.high)}]"


def verdict_table(lines: Iterable[tuple[str, str, str]]) -> Table:
    """A line per benchmark: verdict, name, and the findings that decided, in words."""
    heads = [Column("verdict"), Column("benchmark"), Column("finding")]
    rows = [[Cell(verdict, tone=_TONES.get(verdict, "")), Cell(name), Cell(words)] for name, verdict, words in lines]
    return Table("verdicts", "", heads, rows, plain=True)


def checks_table(results: Sequence[BenchmarkResult]) -> Table:
    """A line per benchmark and a column per check that was made; effects that decided are marked."""
    found = [{result.check: result for result in line.findings} for line in results]
    checks = [check for check in CHECKS if any(check in each for each in found)]
    heads = [Column("benchmark", "code"), Column("verdict"), *(Column(CHECKS[check], "number") for check in checks)]
    rows = [
        [Cell(line.name), Cell(line.verdict), *(_check(each.get(check)) for check in checks)]
        for line, each in zip(results, found, strict=True)
    ]
    return Table("checks", "every benchmark", heads, rows)


def _check(found: CheckResult | None) -> Cell:
    if found is None:
        return Cell("")
    tone: Tone = "" if found.outcome == "ok" else "good" if found.outcome == "better" else "bad"
    return Cell(found.effect, found.low, found.high, shown=effect_text(found), tone=tone)
