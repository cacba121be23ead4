"""99 % intervals: of a mean by Student's t, of a median by order statistics, which assume nothing about the noise.

The level is higher than that of ``compare``: a gate is used often, and so has to err more rarely.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.99
Interval = tuple[float, float]


def of_mean(values: Sequence[float]) -> Interval | None:
    """The t-interval; None for a single value, and the value itself where all are equal."""
    if len(values) < 2:
        return None
    if min(values) == max(values):
        return values[0], values[0]
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return mean - float(half), mean + float(half)


def of_median(values: Sequence[float]) -> Interval:
    """The k-th smallest and k-th largest value, for the largest k that 99 % allow; their range below eight values."""
    ordered = sorted(values)
    rank = max(1, int(stats.binom.ppf((1 - CONFIDENCE) / 2, len(ordered), 0.5)))
    return ordered[rank - 1], ordered[-rank]


def at_most(count: int, of: int, confidence: float = 0.95) -> float:
    """The upper limit of a share, after ``count`` cases in ``of`` trials (Clopper and Pearson, one-sided)."""
    return 1.0 if count == of else float(stats.beta.ppf(confidence, count + 1, of - count))
