"""Who leads each problem, and whether that is shown: the mark of a table and the sentences of a page.

The rule is that of ``compare`` (:func:`pdadmm_bench.stats.paired.judge`): the leader of a problem is compared with each
other line of it, and all these comparisons are one family.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.tables.settings import SettingRows, by_machine, gather, once, quotable
from pdadmm_bench.stats.comparison import ComparisonLine, compare_rows, judge_lines
from pdadmm_bench.stats.estimate import Estimate, aggregate
from pdadmm_bench.stats.metrics import ACCURACY, ITERATION, Metric, metric
from pdadmm_bench.stats.paired import Comparison, Verdict

DOUBTS: dict[Verdict, str] = {
    "not significant": "is not significantly ahead of {}",
    "no difference shown": "is not shown to differ from {}",
    "too few seeds": "has too few seeds",
    "not compared": "is not compared with {}",
    "worse": "is worse than {} seed by seed",
}
"""What a leader does where it is not shown to be better than another line; a reason may follow."""


@dataclass(frozen=True)
class Rival:
    """Another line of the problem; the comparison is of the leader (b) with it (a), None without a pair of runs."""

    line: SettingRows
    value: float
    comparison: Comparison | None

    @property
    def verdict(self) -> Verdict:
        """About the leader."""
        return (self.comparison.verdict if self.comparison else None) or "not compared"


@dataclass(frozen=True)
class Standing:
    """The line of a problem with the best value, and all others, the nearest first."""

    leader: SettingRows
    value: float
    rivals: list[Rival]
    metric: Metric

    @property
    def problem(self) -> tuple[Any, ...]:
        return self.leader.problem

    @property
    def is_shown(self) -> bool:
        """Whether the leader is better than each other line."""
        return self.obstacle is None

    @property
    def obstacle(self) -> Rival | None:
        """The nearest line that the leader is not shown to be better than."""
        return next((rival for rival in self.rivals if rival.verdict != "better"), None)

    @property
    def place(self) -> str:
        """What the leader has: the highest mean, or the lowest median."""
        return f"the {'highest' if self.metric.higher_is_better else 'lowest'} {self.metric.statistic}"

    @property
    def doubt(self) -> str:
        """Who leads, and why it is not shown to be better than each other line; empty where it is."""
        rival = self.obstacle
        return f"{self.leader.optimizer} has {self.place} but {self.reason(rival.line.optimizer)}" if rival else ""

    def reason(self, rival: str) -> str:
        """Why the leader is not shown to be better than the nearest such line, which is called ``rival``."""
        assert self.obstacle is not None
        said = DOUBTS[self.obstacle.verdict].format(rival)
        why = self.obstacle.comparison.reason if self.obstacle.comparison else "no common seeds"
        return said if self.obstacle.verdict == "not significant" or not why else f"{said}: {why}"


class Leaders:
    """Who leads in what a report says first.

    For a thousand rows the comparisons take seconds. So they are made when they are first asked for, and then kept.
    """

    def __init__(self, rows: Iterable[Row]):
        self._rows = list(rows)

    @cached_property
    def lines(self) -> list[SettingRows]:
        """All lines of the rows."""
        return gather(self._rows)

    @cached_property
    def accuracy(self) -> list[Standing]:
        return standings(self.lines, metric(ACCURACY))

    @cached_property
    def times(self) -> dict[str, list[Standing]]:
        """In the time of an iteration, on each class of machine."""
        return {name: standings(gather(mine), metric(ITERATION)) for name, mine in by_machine(self._rows).items()}


def standings(lines: Sequence[SettingRows], metric: Metric) -> list[Standing]:
    """The standing of every problem on which two lines have a value."""
    places: list[tuple[int, SettingRows]] = []
    found: list[Standing] = []
    comparisons: list[ComparisonLine] = []
    for problem in dict.fromkeys(line.problem for line in lines):
        values = [(value, line) for line in lines if line.problem == problem
                  and (value := estimate(line, metric).value) is not None]  # fmt: skip
        if len(values) < 2:
            continue
        values.sort(key=lambda pair: pair[0], reverse=metric.higher_is_better)
        (value, leader), *others = values
        found.append(Standing(leader, value, [Rival(line, its, None) for its, line in others], metric))
        for place, (_, line) in enumerate(others):
            compared = compare_rows(_usable(line, metric), _usable(leader, metric), [metric], by=()).lines
            comparisons += compared
            places += [(place, leader)] * len(compared)
    verdicts = list(zip(places, judge_lines(comparisons), strict=True))
    for standing in found:
        for (place, leader), judged in verdicts:
            if leader is standing.leader:
                standing.rivals[place] = replace(standing.rivals[place], comparison=judged.comparison)
    return found


def estimate(line: SettingRows, metric: Metric) -> Estimate:
    """Mean (of accuracies) or median of a line's complete runs that count for this metric."""
    return aggregate((metric.value(row) for row in _usable(line, metric)), metric.statistic)


def _usable(line: SettingRows, metric: Metric) -> list[dict[str, Any]]:
    """Of times, the runs that had the machine alone; else one run for each seed and split."""
    return quotable(line.rows)[0] if metric.kind == "time" else once(line.rows)
