"""Paired comparison: the test against enumeration, verdicts by rule, and error rates on simulated data."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pdadmm_bench.stats.estimate import Estimate
from pdadmm_bench.stats.metrics import metric
from pdadmm_bench.stats.paired import Comparison, compare, holm, judge, least_pairs, sign_flip_p

ACCURACY = metric("acc_test_at_best_val")
TIME = metric("time_iteration_median_s")
NEVER = math.inf


def verdict(a: list[float | None], b: list[float | None], of: object = ACCURACY) -> Comparison:
    (found,) = judge([compare(a, b, of)])  # type: ignore[arg-type]
    return found


def enumerated(effects: list[float]) -> float:
    """The share of all sign patterns whose sum is at least as far from 0."""
    signed = itertools.product(*((effect, -effect) for effect in effects))
    sums = [sum(pattern) for pattern in signed]
    observed = abs(sum(effects)) * (1 - 1e-12)
    return sum(abs(total) >= observed for total in sums) / len(sums)


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=9))
def test_the_test_counts_sign_patterns(effects: list[int]) -> None:
    assert sign_flip_p(effects, ranks=False) == pytest.approx(enumerated([float(effect) for effect in effects]))


def test_with_ranks_it_is_wilcoxons() -> None:
    effects = np.random.default_rng(0).normal(0.4, 1.0, size=11)
    expected = stats.wilcoxon(effects, method="exact").pvalue
    assert sign_flip_p(effects.tolist(), ranks=True) == pytest.approx(expected)


def test_the_test_by_hand() -> None:
    """Six differences of one sign: only the observed pattern and its mirror are as far out, 2 of 64."""
    assert sign_flip_p([1, 2, 3, 4, 5, 6], ranks=False) == 2 / 64
    # 1 + 2 + 3 − 4 = 2, and of the 16 patterns only ±(1 − 2 − 3 + 4) = 0 are nearer to 0.
    assert sign_flip_p([1, 2, 3, -4], ranks=False) == 14 / 16
    assert sign_flip_p([0.0] * 8, ranks=True) == 1.0
    assert sign_flip_p([0.3], ranks=False) == 1.0


def test_many_pairs_are_sampled_reproducibly() -> None:
    effects = np.random.default_rng(0).normal(0.3, 1.0, size=30).tolist()
    p = sign_flip_p(effects, ranks=False)
    assert p == sign_flip_p(effects, ranks=False)
    assert p == pytest.approx(stats.ttest_1samp(effects, 0).pvalue, abs=0.02)


def test_holm_by_hand() -> None:
    """0.01 · 4, 0.02 · 3, 0.03 · 2, 0.5; then never below the one before."""
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_six_pairs_are_the_fewest() -> None:
    assert (least_pairs(0.05), least_pairs(0.01), least_pairs(0.05 / 2)) == (6, 8, 7)
    up = [0.80, 0.81, 0.82, 0.79, 0.80, 0.83]
    down = [0.70, 0.72, 0.71, 0.70, 0.69, 0.70]
    assert verdict(down, up).verdict == "better"
    assert verdict(up, down).verdict == "worse"
    few = verdict(down[:5], up[:5])
    assert (few.verdict, few.reason, few.p_corrected) == ("too few seeds", "5 pairs, 6 needed", None)
    assert verdict([], []).verdict == "too few seeds"
    assert verdict([0.5], [0.9]).reason == "1 pair, 6 needed"


def test_effects_by_hand() -> None:
    found = verdict([0.80, 0.81, 0.82, None, 0.5], [0.81, 0.83, 0.82, 0.9, math.nan])
    assert found.effect == Estimate(pytest.approx(0.01), None, None, 3, 2)
    assert found.a.value == pytest.approx(0.81)
    assert found.b.value == pytest.approx(0.82)
    ratio = verdict([1.0, 2.0, 4.0, 1.0, 1.0], [2.0, 2.0, 2.0, 3.0, 1.5], TIME)
    assert ratio.effect == Estimate(pytest.approx(1.5), pytest.approx(0.5), pytest.approx(3.0), 5)


def test_lower_times_are_better() -> None:
    slow = [1.00, 1.10, 1.05, 1.02, 1.20, 1.01, 1.03]
    fast = [0.90, 0.95, 0.91, 0.93, 1.00, 0.90, 0.94]
    assert verdict(slow, fast, TIME).verdict == "better"
    assert verdict(fast, slow, TIME).verdict == "worse"


@pytest.mark.parametrize(("points", "expected"), [(0.004, "no difference shown"), (0.006, "better")])
def test_a_sure_but_small_difference_is_none(points: float, expected: str) -> None:
    a = [0.80, 0.81, 0.82, 0.79, 0.80, 0.83, 0.84]
    found = verdict(a, [value + points + 1e-4 * place for place, value in enumerate(a)])
    assert found.p == pytest.approx(2 / 128)
    assert found.verdict == expected
    assert ("smaller than 0.5 points" in found.reason) == (expected != "better")


def test_a_factor_counts_the_same_both_ways() -> None:
    a = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]
    for factor, differs in ((1.015, False), (1 / 1.015, False), (1.03, True), (1 / 1.03, True)):
        found = verdict(a, [value * factor for value in a], TIME)
        assert (found.verdict != "no difference shown") == differs, factor


def test_the_interval_has_a_say() -> None:
    """A median ratio of 1 inside its interval is no difference, whatever a test says."""
    found = compare([1.0] * 7, [2.0] * 7, TIME)
    (judged,) = judge([replace(found, effect=Estimate(1.5, 0.9, 2.0, 7))])
    assert (judged.verdict, judged.reason) == ("not significant", "the interval includes no difference")


def test_more_lines_need_more_pairs() -> None:
    """Six pairs can reach p = 1/32; among two tests Holm asks for 1/40 of the first."""
    a = [0.70, 0.72, 0.71, 0.70, 0.69, 0.70]
    b = [value + 0.05 + 0.001 * place for place, value in enumerate(a)]
    assert judge([compare(a, b, ACCURACY)])[0].verdict == "better"
    for found in judge([compare(a, b, ACCURACY)] * 2):
        assert (found.verdict, found.p_corrected) == ("too few seeds", pytest.approx(1 / 16))
        assert found.reason == "6 pairs, 7 needed for 2 comparisons"
    # A line that is too short to be tested at all costs the others nothing.
    short = compare(a[:3], b[:3], ACCURACY)
    assert [found.verdict for found in judge([compare(a, b, ACCURACY), short])] == ["better", "too few seeds"]


def test_the_number_of_seeds_that_is_asked_for_is_the_final_one() -> None:
    """Who obeys is not asked for one more: five pairs of two lines ask for seven at once, and seven are enough."""
    a = [0.70, 0.72, 0.71, 0.70, 0.69, 0.70, 0.71]
    b = [value + 0.05 + 0.001 * place for place, value in enumerate(a)]
    for few in (1, 5, 6):
        reasons = {found.reason.partition(", ")[2] for found in judge([compare(a[:few], b[:few], ACCURACY)] * 2)}
        assert reasons == {"7 needed for 2 comparisons"}, few
    assert [found.verdict for found in judge([compare(a, b, ACCURACY)] * 2)] == ["better"] * 2


def test_times_take_nothing_from_accuracies() -> None:
    """Six pairs show a better accuracy, also where a time is compared beside it."""
    a, b = [0.70, 0.72, 0.71, 0.70, 0.69, 0.70], [0.75, 0.78, 0.76, 0.77, 0.75, 0.76]
    alone = judge([compare(a, b, ACCURACY)])
    assert judge([compare(a, b, ACCURACY), compare(a, a, TIME)])[0] == alone[0]
    assert alone[0].verdict == "better"


def test_not_significant_is_not_too_few() -> None:
    """Seven pairs could show a difference, and there is none; five could not."""
    a = [0.70, 0.72, 0.71, 0.70, 0.69, 0.70, 0.71]
    b = [value + (0.01 if place % 2 else -0.01) for place, value in enumerate(a)]
    assert verdict(a, b).verdict == "not significant"
    assert verdict(a[:5], b[:5]).verdict == "too few seeds"


def test_misses_are_the_slowest_pairs() -> None:
    a, b = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, NEVER, NEVER], [2.0, 3.0, 1.5, NEVER, NEVER, NEVER, NEVER, NEVER]
    found = verdict(a, b, metric("time_to_target_s"))
    # Ratios 2, 3, 1.5, ∞, ∞, ∞ and twice 1 for never against never: the middle ones are 2 and 3.
    assert found.effect.value == pytest.approx(math.sqrt(6))
    assert found.effect.high == NEVER
    assert found.b.value == NEVER
    assert found.p == pytest.approx(2 / 64)
    assert verdict(b, a, metric("time_to_target_s")).effect.low == 0.0
    assert verdict([1.0] * 8, [2.0] * 4 + [NEVER] * 4, metric("time_to_target_s")).verdict == "worse"


def test_a_ratio_needs_positive_numbers() -> None:
    sent = metric("dist_sent_bytes")
    found = compare([0.0, 0.0, 5.0], [0.0, 7.0, 10.0], sent)
    assert (found.effect.value, found.effect.n, found.effect.missing) == (pytest.approx(math.sqrt(2)), 2, 1)


@given(
    st.lists(st.one_of(st.none(), st.floats(1e-6, 1e6), st.just(NEVER)), max_size=20),
    st.sampled_from([ACCURACY, TIME, metric("time_to_target_s")]),
)
@pytest.mark.slow
def test_the_same_data_never_differ(values: list[float | None], of: object) -> None:
    found = verdict(values, values, of)
    assert found.verdict in ("not significant", "too few seeds")
    assert found.p in (None, 1.0)
    assert found.pairs + found.effect.missing == len(values)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0.1, 1.0), st.floats(0.1, 1.0)), min_size=1, max_size=12))
@pytest.mark.slow
def test_swapping_the_sides_swaps_the_verdict(pairs: list[tuple[float, float]]) -> None:
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    opposite = {"better": "worse", "worse": "better"}
    for of in (ACCURACY, TIME):
        there, back = verdict(a, b, of), verdict(b, a, of)
        assert there.p == pytest.approx(back.p)
        assert back.verdict == opposite.get(str(there.verdict), there.verdict)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_only_raises_and_keeps_the_order(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(1 >= after >= before for before, after in zip(p_values, corrected, strict=True))
    ranked = [after for _, after in sorted(zip(p_values, corrected, strict=True))]
    assert ranked == sorted(ranked)


def simulated(rng: np.random.Generator, effect: float, lines: int = 1, n: int = 10) -> list[Comparison]:
    """A table of comparisons of times with 2 % noise, of which one in ten is slow by a third."""

    def noise() -> np.ndarray:
        disturbed = np.where(rng.random(n) < 0.1, rng.exponential(0.3, n), 0.0)
        return np.exp(rng.normal(0, 0.02, n) + disturbed)

    return judge([compare(noise().tolist(), (noise() * effect).tolist(), TIME) for _ in range(lines)])


def shown(found: Comparison) -> bool:
    return found.verdict in ("better", "worse")


@pytest.mark.slow
def test_a_null_is_called_a_difference_in_at_most_five_percent() -> None:
    """200 nulls: a rate of 5 % gives 10 ± 3.1. The plain test must err at about its level, or it would be useless."""
    rng = np.random.default_rng(4)
    found = [simulated(rng, 1.0)[0] for _ in range(200)]
    assert sum(map(shown, found)) <= 10 + 2 * 3.1
    assert 10 - 3 * 3.1 <= sum((comparison.p or 0.0) <= 0.05 for comparison in found) <= 10 + 3 * 3.1


@pytest.mark.slow
def test_a_table_of_nulls_seldom_has_any_difference() -> None:
    rng = np.random.default_rng(5)
    assert sum(any(map(shown, simulated(rng, 1.0, lines=5))) for _ in range(40)) <= 2 + 2 * 1.4


@pytest.mark.slow
def test_a_true_slowdown_is_found() -> None:
    """20 % under this noise, with ten pairs."""
    rng = np.random.default_rng(6)
    found = [simulated(rng, 1.2, n=16)[0].verdict for _ in range(60)]
    assert found.count("worse") >= 57
    assert "better" not in found


@pytest.mark.slow
def test_accuracies_with_ties_are_calibrated_too() -> None:
    """Test sets of 1000 nodes: accuracies are multiples of 0.001, and equal ones are common."""
    rng = np.random.default_rng(7)
    sides = [np.round(rng.normal(0.8, 0.002, size=(2, 10)), 3) for _ in range(200)]
    metric_without_floor = metric("acc_test_final", smallest_difference=0.0)
    found = [judge([compare(a.tolist(), b.tolist(), metric_without_floor)])[0] for a, b in sides]
    assert any((a == b).any() for a, b in sides)
    assert 10 - 3 * 3.1 <= sum((comparison.p or 0.0) <= 0.05 for comparison in found) <= 10 + 3 * 3.1
    assert sum(map(shown, found)) <= 10 + 2 * 3.1
