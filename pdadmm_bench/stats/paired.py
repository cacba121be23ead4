"""Paired comparison of two sides over the same problems and starts: the effect, its test, and the verdict.

A pair is one value of each side. Its effect is b − a, or b / a for times and sizes. The test flips the signs of the
effects (of their logarithms, for ratios): if neither side is better, every pattern of signs is as likely as the one
observed. This test is exact for few pairs, and also with ties and zeros, which are frequent among accuracies. Its
statistic is the sum of the differences. For ratios it is the sum of their signed ranks, which is Wilcoxon's test: a
disturbed run, or a miss with its infinite ratio, then counts as the largest pair and no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from pdadmm_bench.stats.estimate import Estimate, aggregate
from pdadmm_bench.stats.metrics import Metric

#: ``not significant``: the test did not reject. ``too few seeds``: it could not have rejected, whatever the numbers.
#: ``no difference shown``: it rejected, but the effect is too small to matter, or the machine may have made it.
#: ``not compared``: there are pairs, and a reason against each of them.
Verdict = Literal["better", "worse", "not significant", "no difference shown", "too few seeds", "not compared"]

ALPHA = 0.05

#: Patterns of signs: all of them up to 14 pairs, this many random ones for more pairs.
PATTERNS = 2**14


@dataclass(frozen=True)
class Comparison:
    """Side b against side a on one metric, over the pairs that have both values."""

    metric: Metric
    effect: Estimate
    """Mean of b − a, or median of b / a, over the pairs; ``missing`` counts the pairs that lack a value."""
    a: Estimate
    b: Estimate
    """Each side alone, over the same pairs."""
    p: float | None
    """Of the sign-flip test; None for no pairs."""
    p_corrected: float | None = None
    """Holm's, over the comparisons of its kind in the table; None for a comparison that was too small to be tested."""
    verdict: Verdict | None = None
    """About b. None until :func:`judge` has seen the whole table."""
    reason: str = ""
    """The reason for the verdict, where neither p nor the interval shows it."""
    needed: int = 0
    """So many pairs are enough to reject for every comparison of its kind in the table; 0 until it was judged."""

    @property
    def pairs(self) -> int:
        return self.effect.n


def least_pairs(alpha: float = ALPHA) -> int:
    """The fewest pairs with which a sign-flip test can reject at ``alpha``: six at 5 %."""
    return math.ceil(1 - math.log2(alpha))


def compare(a: Sequence[float | None], b: Sequence[float | None], metric: Metric) -> Comparison:
    """Side ``b`` against side ``a``, pair by pair (None or NaN: no value); the verdict is left to :func:`judge`.

    A ratio needs two positive numbers; a pair without them counts as missing. Raises ``ValueError`` for sides of
    different length.
    """
    effects = [_effect(x, y, metric) for x, y in zip(a, b, strict=True)]
    both = [(x, y) for x, y, effect in zip(a, b, effects, strict=True) if effect is not None]
    known = [effect for effect in effects if effect is not None]
    found = aggregate(effects, metric.statistic)
    return Comparison(
        metric=metric,
        effect=found.map(_exp) if metric.is_ratio else found,
        a=aggregate((x for x, _ in both), metric.statistic),
        b=aggregate((y for _, y in both), metric.statistic),
        p=sign_flip_p(known, ranks=metric.is_ratio) if known else None,
    )


def sign_flip_p(effects: Sequence[float], ranks: bool) -> float:
    """Two-sided p-value of ``effects`` being symmetric around 0, by their sum or by that of their signed ranks."""
    from scipy import stats  # takes most of a second, and few runs are compared

    scores = np.asarray(effects, dtype=float)
    if len(scores) == 1:
        return 1.0  # both signs are equally likely
    if ranks:
        scores = np.sign(scores) * stats.rankdata(np.abs(scores))

    def total(values: Any, axis: int = -1) -> Any:
        return values.sum(axis=axis)

    found = stats.permutation_test(
        (scores,), total, permutation_type="samples", vectorized=True, n_resamples=PATTERNS,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p-values (Scandinavian Journal of Statistics 6, 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def judge(comparisons: Sequence[Comparison], alpha: float = ALPHA) -> list[Comparison]:
    """Give every comparison of a table its verdict.

    ``b`` is better, or worse, only if three things hold: the interval excludes the effect of no difference, the test
    rejects at ``alpha`` after Holm's correction, and the effect is larger than the metric's smallest effect of
    interest. Comparisons of one kind (accuracies, times, …) are a family, which is corrected by itself: how many times
    are compared says nothing about accuracies. With fewer than :func:`least_pairs` pairs the test can never reject.
    Such a comparison is not tested, and the correction does not count it.
    """
    judged = list(comparisons)
    for kind in {found.metric.kind for found in comparisons}:
        places = [place for place, found in enumerate(comparisons) if found.metric.kind == kind]
        for place, found in zip(places, _judge_family([comparisons[place] for place in places], alpha), strict=True):
            judged[place] = found
    return judged


def _judge_family(family: Sequence[Comparison], alpha: float) -> list[Comparison]:
    tested = [place for place, found in enumerate(family) if found.pairs >= least_pairs(alpha)]
    corrected = dict(zip(tested, holm([family[place].p or 0.0 for place in tested]), strict=True))
    size = max(1, sum(found.pairs > 0 for found in family))
    needed = least_pairs(alpha / size)  # Holm's first step is the hardest
    judged = []
    for place, found in enumerate(family):
        p = corrected.get(place)
        verdict, reason = _verdict(found, p, needed, size, alpha)
        judged.append(replace(found, p_corrected=p, verdict=verdict, reason=reason, needed=needed))
    return judged


def _verdict(found: Comparison, p: float | None, needed: int, size: int, alpha: float) -> tuple[Verdict, str]:
    """``p`` is Holm's, ``size`` the number of comparisons of the family, ``needed`` the pairs that are enough for all.

    So the number of pairs that is asked for is the final one.
    """
    if p is None or (p > alpha and (found.p or 0.0) <= alpha and found.pairs < needed):
        return "too few seeds", f"{_pairs(found)}, {needed} needed" + (f" for {size} comparisons" if size > 1 else "")
    if p > alpha:
        return "not significant", ""
    effect, metric = found.effect, found.metric
    assert effect.value is not None and effect.low is not None and effect.high is not None
    if effect.low <= metric.neutral <= effect.high:
        return "not significant", "the interval includes no difference"
    if _size(effect.value, metric) <= metric.smallest:
        return "no difference shown", f"smaller than {_smallest(metric)}"
    better = (effect.value > metric.neutral) == metric.higher_is_better
    return "better" if better else "worse", ""


def _pairs(found: Comparison) -> str:
    return f"{found.pairs} pair{'' if found.pairs == 1 else 's'}"


def _effect(a: float | None, b: float | None, metric: Metric) -> float | None:
    """b − a, or log(b / a), two misses being a tie; None where there is none."""
    if a is None or b is None or math.isnan(a) or math.isnan(b):
        return None
    if a == b:
        return 0.0
    if not metric.is_ratio:
        return b - a
    return _log(b) - _log(a) if a > 0 and b > 0 else None


def _log(value: float) -> float:
    return math.inf if value == math.inf else math.log(value)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf  # beyond, exp would overflow


def _size(effect: float, metric: Metric) -> float:
    """The size of an effect, without its direction: a ratio of 0.5 is as large as a ratio of 2."""
    return max(effect, 1 / effect if effect else math.inf) - 1 if metric.is_ratio else abs(effect)


def _smallest(metric: Metric) -> str:
    return f"{100 * metric.smallest:g} %" if metric.is_ratio else f"{100 * metric.smallest:g} points"
