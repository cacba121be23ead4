"""Which columns of a row can be compared, on which scale, and which way is better.

Accuracies are compared by their difference in points, all else (times, bytes, losses, iterations) by its ratio. A value
that a run does not have is None. The time to a target that it never reached is infinity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.stats.estimate import Statistic
from pdadmm_bench.stats.target import reach_of_row

Kind = Literal["accuracy", "time", "bytes", "loss", "iterations"]

#: The smallest effects of interest: half a point of accuracy, two percent of anything else.
SMALLEST_DIFFERENCE, SMALLEST_FACTOR = 0.005, 0.02

#: How a table says that a side is better, or worse.
WORDS: dict[Kind, tuple[str, str]] = {
    "accuracy": ("better", "worse"),
    "time": ("faster", "slower"),
    "bytes": ("smaller", "larger"),
    "loss": ("lower", "higher"),
    "iterations": ("fewer", "more"),
}

ACCURACY, ITERATION = "acc_test_at_best_val", "time_iteration_median_s"
DEFAULT = (ACCURACY, ITERATION)
TARGET = "time_to_target_s"


@dataclass(frozen=True)
class Metric:
    """A column, and the smallest effect of interest on it.

    ``smallest`` is a difference for accuracies (0.005 is half a point), else a relative change (0.02 is 2 %).
    """

    name: str
    kind: Kind
    smallest: float

    @property
    def is_ratio(self) -> bool:
        """Whether two values are compared by their ratio."""
        return self.kind != "accuracy"

    @property
    def neutral(self) -> float:
        """The effect of no difference."""
        return 1.0 if self.is_ratio else 0.0

    @property
    def higher_is_better(self) -> bool:
        return self.kind == "accuracy"

    @property
    def statistic(self) -> Statistic:
        """The mean for accuracies, as in papers; else the median, so that one disturbed run does not decide."""
        return "median" if self.is_ratio else "mean"

    @property
    def of_target(self) -> bool:
        """Whether the column depends on the target accuracy; both sides must then have the same target."""
        return self.name.startswith("time_to_target")

    def value(self, row: Row) -> float | None:
        """The run's value; None where it has none, infinity for a target that it tried and missed."""
        if self.of_target:
            return self._to_target(row)
        value = row.get(self.name) if status_of(row).complete else None
        if value is None or math.isnan(value):
            return None
        return float(value)

    def _to_target(self, row: Row) -> float | None:
        reach = reach_of_row(row)
        if reach is None:
            return None
        value = reach.seconds if self.kind == "time" else reach.iterations
        return math.inf if value is None else float(value)


def metric(
    name: str, smallest_difference: float = SMALLEST_DIFFERENCE, smallest_factor: float = SMALLEST_FACTOR
) -> Metric:
    """The metric of the column ``name``; raises :class:`UserError` for a column without a better direction."""
    kind = _kind(name)
    if kind is None:
        raise UserError(
            f"{name!r} is not a metric: give a column of the result rows whose better end is known, which are "
            "acc_… (higher), and loss_…, memory_…, time_…_s, …_bytes and time_to_target_iterations (lower)"
        )
    return Metric(name, kind, smallest_difference if kind == "accuracy" else smallest_factor)


def _kind(name: str) -> Kind | None:
    if name.startswith("acc_") and name != "acc_best_iteration":
        return "accuracy"
    if name.startswith("loss_"):
        return "loss"
    if name.startswith("time_") and name.endswith("_s"):
        return "time"
    if name.endswith("_bytes") and not name.startswith("env_"):
        return "bytes"
    return "iterations" if name == "time_to_target_iterations" else None


def present(name: str, rows: list[dict[str, Any]]) -> bool:
    """Whether any of ``rows`` has a value in the column ``name``, or tried to reach the target that it depends on."""
    found = metric(name)
    return any(found.value(row) is not None for row in rows)


def metrics_for(
    names: Iterable[str], rows: list[dict[str, Any]],
    smallest_difference: float = SMALLEST_DIFFERENCE, smallest_factor: float = SMALLEST_FACTOR,
) -> list[Metric]:  # fmt: skip
    """The metrics of the columns ``names``; without names the default ones, with time to target if ``rows`` have it.

    Raises :class:`UserError` as :func:`metric` does.
    """
    chosen = list(names) or [*DEFAULT, *([TARGET] if present(TARGET, rows) else [])]
    return [metric(name, smallest_difference, smallest_factor) for name in dict.fromkeys(chosen)]
