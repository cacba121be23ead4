"""An estimate over repeated runs: its value, its 95 % interval and the number of runs.

Intervals are percentile bootstraps. With few runs the plain interval of a mean is too short. It is therefore taken at
wider percentiles, so that it is as long as a t-interval (Hesterberg, What Teachers Should Know About the Bootstrap,
2015, section 3.2). BCa covers worse here, for means and for medians: ``docs/statistics.md`` has the measured coverage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Statistic = Literal["mean", "median"]
Interval = tuple[float | None, float | None]

CONFIDENCE = 0.95
RESAMPLES = 9999

#: The fewest values with an interval. No resample leaves the range of the values. That range holds the true median in
#: only 1 − 2^(1−n) of all samples: 94 % with five values, 88 % with four. So four values cannot give a 95 % interval.
LEAST_FOR_INTERVAL = 5

# A large number stands for infinity, since numpy interpolates and ∞ − ∞ is NaN. Above the limit it is infinity again.
_HUGE, _LIMIT = 1e150, 1e100


@dataclass(frozen=True)
class Estimate:
    """A number over ``n`` values; ``value`` is None for no values, ``low`` and ``high`` for too few of them.

    A time that was never reached is ``math.inf``. ``missing`` counts the values that were None or NaN.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    missing: int = 0

    def map(self, function: Callable[[float], float]) -> Estimate:
        """The estimate on another scale; ``function`` must be increasing."""
        value, low, high = (None if x is None else function(x) for x in (self.value, self.low, self.high))
        return Estimate(value, low, high, self.n, self.missing)


def aggregate(values: Iterable[float | None], statistic: Statistic = "median") -> Estimate:
    """Median or mean of ``values`` with its interval; infinite values take part, None and NaN are counted."""
    known, missing = known_values(values)
    if not known:
        return Estimate(None, None, None, 0, missing)
    value, (low, high) = _statistic(known, statistic), _interval(tuple(known), statistic)
    if low is not None and high is not None:  # percentiles between equal numbers can differ in the last digit
        low, high = min(low, value), max(high, value)
    return Estimate(value, low, high, len(known), missing)


def known_values(values: Iterable[float | None]) -> tuple[list[float], int]:
    """The values that are numbers, and the count of those that are None or NaN."""
    values = list(values)
    known = [float(value) for value in values if value is not None and not math.isnan(value)]
    return known, len(values) - len(known)


def _statistic(values: Sequence[float], statistic: Statistic) -> float:
    if min(values) == max(values):
        return values[0]  # the computed mean of equal numbers can differ in the last digit
    return _infinite(getattr(np, statistic)(_finite(values)))


@lru_cache(maxsize=8192)  # several tables of a report have the interval of the same runs
def _interval(values: tuple[float, ...], statistic: Statistic) -> Interval:
    n = len(values)
    if n < LEAST_FOR_INTERVAL:
        return None, None
    if min(values) == max(values):
        return values[0], values[0]
    confidence = _widened(n) if statistic == "mean" else CONFIDENCE
    low, high = _bootstrap((_finite(values),), getattr(np, statistic), confidence)
    return _infinite(low), _infinite(high)


def _widened(n: int) -> float:
    """The confidence at which a percentile interval of the mean is as long as the t-interval of ``n`` values."""
    from scipy import stats

    half = math.sqrt(n / (n - 1)) * stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    return float(1 - 2 * stats.norm.sf(half))


def _bootstrap(samples: tuple[Any, ...], statistic: Callable[..., Any], confidence: float) -> tuple[float, float]:
    from scipy import stats  # takes most of a second, and few runs have no interval

    found = stats.bootstrap(
        samples, statistic, method="percentile", confidence_level=confidence, n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),  # the same rows always give the same interval
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def _finite(values: Sequence[float]) -> NDArray[np.float64]:
    return np.nan_to_num(np.asarray(values, dtype=float), posinf=_HUGE, neginf=-_HUGE)


def _infinite(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) > _LIMIT else float(value)
