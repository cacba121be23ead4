"""Time to a target accuracy. A run that never reached the target is a miss, and is counted.

The clock is the training clock, which includes the seconds of a warm start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.stats.estimate import Estimate, aggregate


@dataclass(frozen=True)
class Reach:
    """When one run reached the target, in seconds and iterations; both are None for a miss.

    ``spent_s`` are all its training seconds. A miss is censored there: what came later is not known.
    """

    seconds: float | None
    iterations: int | None
    spent_s: float


@dataclass(frozen=True)
class TimeToTarget:
    """Times of several runs to the same target."""

    seconds: Estimate
    """Median over all runs, a miss counting as infinity."""
    iterations: Estimate
    reached: int
    runs: int
    censored_s: float | None
    """The shortest time after which a miss was given up; None when there is no miss."""

    def __str__(self) -> str:
        """``3 of 5 reached``."""
        return f"{self.reached} of {self.runs} reached"


def reach_of_row(row: Row) -> Reach | None:
    """When the run of ``row`` reached its target; None without a target, and for a run skipped or stopped by hand."""
    if row.get("time_target_accuracy") is None or not status_of(row).tried:
        return None
    return Reach(row["time_to_target_s"], row.get("time_to_target_iterations"), row.get("time_train_s") or 0.0)


def time_to_target(reaches: Iterable[Reach]) -> TimeToTarget:
    """The median over all runs, misses included, and how many got there."""
    runs = list(reaches)
    misses = [run.spent_s for run in runs if run.seconds is None]
    return TimeToTarget(
        seconds=aggregate(math.inf if run.seconds is None else run.seconds for run in runs),
        iterations=aggregate(math.inf if run.seconds is None else run.iterations for run in runs),
        reached=len(runs) - len(misses),
        runs=len(runs),
        censored_s=min(misses, default=None),
    )
