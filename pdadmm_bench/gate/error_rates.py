"""How often the gate errs: false alarms where nothing changed, and the smallest change it catches.

For times, both sides were the same code. A slowdown is planted by multiplying the seconds of one side, which is exact:
the ratio of every pair grows by that factor. For accuracies, test nodes are switched at random between right and wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pdadmm_bench.gate import checks, intervals
from pdadmm_bench.gate.evidence import SeedRun
from pdadmm_bench.gate.thresholds import Thresholds

SecondsPairs = Sequence[tuple[float, float]]
"""Seconds of an iteration of base and head."""
CAUGHT = 0.9
"""A slowdown counts as caught when it is called worse in at least this share of the comparisons."""
MOST_PERCENT = 100
SCATTER = 0.005
"""A null comparison of accuracies makes this share of the test nodes right, and another such share wrong."""


@dataclass(frozen=True)
class TimeErrorRates:
    """The error rates in comparisons of a code's times with its own times."""

    comparisons: int
    false_alarms: int
    """Comparisons that are called worse."""
    false_better: int
    half_width: float
    """Median half-width of the intervals, as a fraction."""
    caught: dict[int, float]
    """Slowdown in percent → share of the comparisons in which it is called worse."""

    @property
    def smallest(self) -> int | None:
        """The smallest slowdown in percent from which on all are caught nine times in ten."""
        missed = [percent for percent, share in self.caught.items() if share < CAUGHT]
        return next((percent for percent in sorted(self.caught) if percent > max(missed, default=0)), None)

    @property
    def false_alarm_limit(self) -> float:
        """95 % upper limit of the false-alarm rate."""
        return intervals.at_most(self.false_alarms, self.comparisons)


def of_times(comparisons: Sequence[tuple[SecondsPairs, Thresholds]], least: int, step: int) -> TimeErrorRates:
    """The error rates from null comparisons, each the pairs of one benchmark; raises ``ValueError`` for none.

    Each is judged as the gate does it: after ``least`` pairs, then after every ``step`` more while it is not decided.
    """
    if not comparisons:
        raise ValueError("error rates need comparisons")
    null = [_looked_at(pairs, limits, least, step) for pairs, limits in comparisons]
    caught = {}
    for percent in range(1, MOST_PERCENT + 1):
        found = [_looked_at(slower(pairs, percent), limits, least, step) for pairs, limits in comparisons]
        caught[percent] = float(np.mean([finding.outcome == "worse" for finding in found]))
        if percent >= 20 and caught[percent] == 1:
            break
    return TimeErrorRates(
        comparisons=len(null),
        false_alarms=sum(finding.outcome == "worse" for finding in null),
        false_better=sum(finding.outcome == "better" for finding in null),
        half_width=float(np.median([((f.high or 0) - (f.low or 0)) / 2 for f in null])),
        caught=caught,
    )


def _looked_at(pairs: SecondsPairs, limits: Thresholds, least: int, step: int) -> checks.Finding:
    """The finding at which the gate stops measuring."""
    for count in range(least, len(pairs), step):
        if checks.decided(pairs[:count], limits):
            return checks.time_in_turn(pairs[:count], limits)
    return checks.time_in_turn(pairs, limits)


def slower(pairs: SecondsPairs, percent: float) -> list[tuple[float, float]]:
    """The pairs with a head that takes ``percent`` longer."""
    return [(base, head * (1 + percent / 100)) for base, head in pairs]


@dataclass(frozen=True)
class AccuracyErrorRates:
    """The error rates in comparisons of accuracies that differ by chance."""

    comparisons: int
    false_alarms: int
    lost_points: float
    caught: float
    """Share of the comparisons in which the loss is called worse."""


def of_accuracies(
    benchmarks: Sequence[tuple[Sequence[SeedRun], Thresholds]],
    test_nodes: int,
    repetitions: int,
    lost_points: float = 1.0,
) -> AccuracyErrorRates:
    """The error rates from real runs over seeds: null comparisons with scatter, and the same after a loss of points.

    The lost nodes are drawn at random, so a seed loses more or less than ``lost_points``.
    """
    rng = np.random.default_rng(0)
    alarms = caught = 0
    for number in range(repetitions):
        runs, limits = benchmarks[number % len(benchmarks)]
        right, wrong = (rng.binomial(test_nodes, SCATTER, len(runs)) / test_nodes for _ in range(2))
        lost = rng.binomial(test_nodes, lost_points / 100, len(runs)) / test_nodes
        alarms += _judged(runs, right - wrong, limits) == "worse"
        caught += _judged(runs, right - wrong - lost, limits) == "worse"
    return AccuracyErrorRates(repetitions, alarms, lost_points, caught / repetitions)


def _judged(runs: Sequence[SeedRun], change: np.ndarray, limits: Thresholds) -> str:
    after = [
        SeedRun({**run.row, "acc_test_at_best_val": run.row["acc_test_at_best_val"] + float(delta)}, run.curve)
        for run, delta in zip(runs, change, strict=True)
    ]
    return checks.accuracy(list(zip(runs, after, strict=True)), limits).outcome
