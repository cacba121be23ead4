"""Time to a target accuracy, where a run that never got there is a miss and stays in the count.

The clock is the training clock, on which a warm start is charged: a history with one begins later than 0 s.
Iteration 0 is the start, before any training, and reaches nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.stats.estimate import Estimate, aggregate


@dataclass(frozen=True)
class Reach:
    """How one run got to the target: seconds and iterations, both None for a miss.

    ``spent_s`` are its training seconds in all. A miss is known only up to there: it is censored.
    """

    seconds: float | None
    iterations: int | None
    spent_s: float


@dataclass(frozen=True)
class TimeToTarget:
    """Several runs on their way to the same target."""

    seconds: Estimate
    """Median over all runs, a miss counting as infinity."""
    iterations: Estimate
    reached: int
    runs: int
    censored_s: float | None
    """The shortest time after which a miss had been given up; None when there is no miss."""

    def __str__(self) -> str:
        """``3 of 5 reached``."""
        return f"{self.reached} of {self.runs} reached"


def reach(history: Sequence[Mapping[str, float]], target: float) -> Reach:
    """When the steps of a run first had a validation accuracy of ``target``.

    Args:
        history: steps with ``iteration``, cumulative ``train_seconds`` and, where evaluated, ``acc_val``.
        target: validation accuracy, a fraction of 1.
    """
    steps = [step for step in history if step["iteration"] > 0]
    hit = next((step for step in steps if step.get("acc_val", -math.inf) >= target), None)
    spent = max((step["train_seconds"] for step in steps), default=0.0)
    if hit is None:
        return Reach(None, None, spent)
    return Reach(hit["train_seconds"], int(hit["iteration"]), spent)


def reach_of_row(row: Row) -> Reach | None:
    """The same from a row's own target; None for a run without a target, skipped, or stopped by the user."""
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


def share_of_best(histories: Iterable[Sequence[Mapping[str, float]]], share: float = 0.99) -> float:
    """A target that asks nothing of the reader: ``share`` of the best validation accuracy that any run reached.

    Raises ``ValueError`` when no step was evaluated.
    """
    return share * max(step["acc_val"] for history in histories for step in history if "acc_val" in step)
