"""Estimates: values by hand, intervals that cover, and nothing dropped without being counted."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from pdadmm_bench.stats.estimate import Estimate, aggregate

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("values", "mean", "median"),
    [
        ([], Estimate(None, None, None, 0), Estimate(None, None, None, 0)),
        ([0.8], Estimate(0.8, None, None, 1), Estimate(0.8, None, None, 1)),
        ([1.0, 4.0], Estimate(2.5, None, None, 2), Estimate(2.5, None, None, 2)),
        ([1.0, 2.0, 6.0, 7.0], Estimate(4.0, None, None, 4), Estimate(4.0, None, None, 4)),
        ([0.1] * 6, Estimate(0.1, 0.1, 0.1, 6), Estimate(0.1, 0.1, 0.1, 6)),
        ([None, 0.5, math.nan], Estimate(0.5, None, None, 1, 2), Estimate(0.5, None, None, 1, 2)),
    ],
)
def test_few_values_and_constant_ones(values: list[float | None], mean: Estimate, median: Estimate) -> None:
    assert aggregate(values, "mean") == mean
    assert aggregate(values, "median") == median


def test_the_median_interval_of_five_is_their_range() -> None:
    """P(a resample's median is the least value) = P(at least 3 of 5 draws are it) = 0.058 > 2.5 %."""
    found = aggregate([3.0, 1.0, 100.0, 2.0, 5.0])
    assert found == Estimate(3.0, 1.0, 100.0, 5)


def test_the_mean_interval_is_as_long_as_students() -> None:
    """Percentiles of a smooth bootstrap of a mean are normal, with the standard deviation σ̂ / √n of ``ddof=0``."""
    values = np.random.default_rng(1).normal(size=40)
    found = aggregate(values.tolist(), "mean")
    assert found.value == pytest.approx(statistics.fmean(values))
    assert found.low is not None and found.high is not None
    student = 2 * stats.t.ppf(0.975, 39) * values.std(ddof=1) / math.sqrt(40)
    assert found.high - found.low == pytest.approx(student, rel=0.05)


def test_misses_take_part_in_a_median() -> None:
    never = math.inf
    assert aggregate([1.0, never, 2.0]).value == 2.0
    assert aggregate([1.0, never]).value == never
    found = aggregate([1.0, 2.0, 3.0, 4.0, never, never])
    assert (found.value, found.low, found.high) == (3.5, 1.5, never)
    assert aggregate([never] * 5) == Estimate(never, never, never, 5)


def test_the_same_numbers_give_the_same_interval() -> None:
    values = np.random.default_rng(2).normal(size=9).tolist()
    assert aggregate(values, "mean") == aggregate(values, "mean")


@settings(deadline=None)
@given(st.lists(numbers, min_size=5, max_size=20))
@example([0.0, 0.0, *3 * [-1.8314245814199567e-215]])  # a percentile between equal numbers is off in the last digit
@pytest.mark.slow
def test_an_interval_holds_its_value_and_stays_in_the_range(values: list[float]) -> None:
    for statistic in ("mean", "median"):
        found = aggregate(values, statistic)
        assert found.low is not None and found.value is not None and found.high is not None
        slack = 1e-9 * max(map(abs, values), default=0)
        assert min(values) - slack <= found.low <= found.high <= max(values) + slack
        if statistic == "median":
            assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("statistic", "n"), [("mean", 10), ("median", 10), ("median", 6)])
@pytest.mark.slow
def test_intervals_cover_as_often_as_they_say(statistic: str, n: int) -> None:
    """300 samples of a normal distribution: at 95 % the count has a standard deviation of 3.8."""
    draws = np.random.default_rng(3).normal(size=(300, n))
    found = [aggregate(values.tolist(), statistic) for values in draws]  # type: ignore[arg-type]
    hits = sum(estimate.low <= 0 <= estimate.high for estimate in found)  # type: ignore[operator]
    assert 300 * 0.95 - 4 * 3.8 <= hits <= 300
