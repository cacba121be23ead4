"""The checks of one benchmark: each turns the evidence of two sides into a :class:`Finding`.

A change is worse, or better, only where its whole interval lies beyond the threshold. Bytes have no interval: they are
counted, and any difference is a change. A loss curve has none either: the same code from the same seed gives the same
curve up to rounding, so each point is compared with the golden one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pdadmm_bench.gate import intervals
from pdadmm_bench.gate.evidence import Benchmark, CurvePoint, SeedRun
from pdadmm_bench.gate.thresholds import Thresholds

Check = Literal["run", "accuracy", "loss curve", "iterations", "bytes", "state memory", "peak memory", "time"]
Outcome = Literal["ok", "worse", "better"]

LEAST_LOSS = 0.01
"""A deviation is relative to the golden loss, or to this part of the first golden loss where that is larger."""

Pair = tuple[SeedRun, SeedRun]
"""The same seed of both sides, base first."""


@dataclass(frozen=True)
class Finding:
    """One check; ``effect`` and its interval are a change in points for accuracy, else a relative one (0.1 is 10 %).

    None stands for no number, infinity for a target that only the base reached.
    """

    check: Check
    outcome: Outcome
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    n: int | None = None
    """Seeds, or pairs of measurements."""
    note: str = ""


def same_seeds(base: Benchmark, head: Benchmark) -> dict[str, Pair]:
    """The runs of both sides by their seed."""
    return {seed: (base.runs[seed], head.runs[seed]) for seed in base.runs if seed in head.runs}


def failures(pairs: dict[str, Pair]) -> Finding | None:
    """A run that only one side finished; None where every seed ended alike."""
    lost = [seed for seed, (base, head) in pairs.items() if base.finished and not head.finished]
    won = [seed for seed, (base, head) in pairs.items() if head.finished and not base.finished]
    if lost:
        row = pairs[lost[0]][1].row
        reason = f": {row['status_reason']}" if row.get("status_reason") else ""
        return Finding("run", "worse", note=f"seed {lost[0]} ended as {row['status']}{reason}", n=len(lost))
    if won:
        return Finding("run", "better", note=f"seed {won[0]} runs to its end now", n=len(won))
    return None


def accuracy(pairs: Sequence[Pair], thresholds: Thresholds) -> Finding:
    """Test accuracy at the best validation accuracy: mean difference over seeds."""
    limit = thresholds.accuracy_points
    both = [(a.row["acc_test_at_best_val"], b.row["acc_test_at_best_val"]) for a, b in pairs]
    points = [100 * (b - a) for a, b in both if a is not None and b is not None]
    if not points:
        return Finding("accuracy", "ok", threshold=limit, n=0, note="no accuracy on one of the sides")
    interval = intervals.of_mean(points)
    effect = float(np.mean(points))
    if interval is None:
        return Finding("accuracy", "ok", effect, threshold=limit, n=1, note="one seed, no interval")
    outcome: Outcome = "worse" if interval[1] < -limit else "better" if interval[0] > limit else "ok"
    return Finding("accuracy", outcome, effect, *interval, threshold=limit, n=len(points))


def loss_curve(pairs: dict[str, Pair], thresholds: Thresholds) -> Finding:
    """Every point of every seed's training loss against the base's: the largest deviation.

    A curve that departs upwards anywhere is worse, one that only ever departs downwards is better.
    """
    limit = thresholds.loss_percent / 100
    deviations = [
        (deviation, seed, iteration)
        for seed, (base, head) in pairs.items()
        for iteration, deviation in deviations_of(base.curve, head.curve)
    ]
    if not deviations:
        return Finding("loss curve", "ok", threshold=limit, n=0, note="no curve")
    lowest, highest = min(deviations), max(deviations)
    largest = max(lowest, highest, key=lambda found: abs(found[0]))
    outcome: Outcome = "worse" if highest[0] > limit else "better" if lowest[0] < -limit else "ok"
    first = min((item for item in deviations if abs(item[0]) > limit), key=lambda found: found[2], default=None)
    note = f"seed {first[1]} departs at iteration {first[2]}" if first else ""
    return Finding("loss curve", outcome, largest[0], lowest[0], highest[0], limit, len(pairs), note)


def deviations_of(golden: Sequence[CurvePoint], curve: Sequence[CurvePoint]) -> list[tuple[int, float]]:
    """Iteration and relative deviation of each golden point; infinite where ``curve`` has no such point."""
    if not golden:
        return []
    least = LEAST_LOSS * golden[0][1]
    found = {iteration: loss for iteration, loss, _ in curve}
    return [
        (iteration, (found.get(iteration, math.inf) - loss) / max(loss, least, 1e-12)) for iteration, loss, _ in golden
    ]


def iterations(pairs: Sequence[Pair], thresholds: Thresholds) -> Finding:
    """Iterations to a part of the base's best validation accuracy, seed by seed; a miss takes infinitely many."""
    limit = thresholds.iterations_percent / 100
    best = max((accuracy for base, _ in pairs for _, _, accuracy in base.curve), default=0.0)
    target = thresholds.target_percent / 100 * best
    ratios = [r for base, head in pairs if (r := _ratio(_first(base, target), _first(head, target))) is not None]
    if not ratios:
        return Finding("iterations", "ok", threshold=limit, n=0, note=f"no seed reached {100 * target:.1f} %")
    return _relative("iterations", ratios, limit, f"to {100 * target:.1f} % validation accuracy")


def sent_bytes(pairs: Sequence[Pair]) -> Finding | None:
    """Bytes that all workers sent in an iteration, exactly; None where nothing is sent."""
    both = [(a.row.get("dist_sent_bytes"), b.row.get("dist_sent_bytes")) for a, b in pairs]
    known = [(a, b) for a, b in both if a is not None and b is not None]
    if not any(a or b for a, b in known):
        return None
    a, b = max(known, key=lambda pair: (pair[1] - pair[0], pair))
    if a == b:
        a, b = min(known, key=lambda pair: (pair[1] - pair[0], pair))
    outcome: Outcome = "worse" if b > a else "better" if b < a else "ok"
    effect = b / a - 1 if a else math.inf
    return Finding("bytes", outcome, effect, threshold=0.0, n=len(known), note=f"{a:,} → {b:,} bytes per iteration")


def memory(pairs: Sequence[Pair], thresholds: Thresholds, check: Check) -> Finding | None:
    """State memory (counted, so comparable between machines) or peak memory, seed by seed; None where there is none."""
    state = check == "state memory"
    column, percent = (
        ("memory_state_bytes", thresholds.state_percent) if state else ("memory_peak_bytes", thresholds.peak_percent)
    )
    both = [(a.row.get(column), b.row.get(column)) for a, b in pairs]
    ratios = [b / a for a, b in both if a and b]
    return _relative(check, ratios, percent / 100) if ratios else None


def time_in_turn(pairs: Sequence[tuple[float, float]], thresholds: Thresholds) -> Finding:
    """Seconds of an iteration of both sides, measured in turn: the median of the ratios within a pair."""
    limit = thresholds.time_percent / 100
    return _relative("time", [b / a for a, b in pairs], limit, f"of {_seconds([a for a, _ in pairs])}, in turn")


def decided(pairs: Sequence[tuple[float, float]], thresholds: Thresholds) -> bool:
    """Whether more pairs are not needed, because the interval lies on one side of the threshold."""
    found = time_in_turn(pairs, thresholds)
    assert found.low is not None and found.high is not None and found.threshold is not None
    return found.low > found.threshold or found.high < found.threshold


def time_recorded(base: Sequence[float], head: Sequence[float], thresholds: Thresholds) -> Finding:
    """Seconds of an iteration against seconds recorded on another day: the ratio of the medians.

    Its interval goes from the smallest to the largest ratio that the intervals of both medians allow.
    """
    limit = thresholds.recorded_time_percent / 100
    (a_low, a_high), (b_low, b_high) = intervals.of_median(base), intervals.of_median(head)
    effect = float(np.median(head) / np.median(base)) - 1
    low, high = b_low / a_high - 1, b_high / a_low - 1
    note = f"of {_seconds(base)}, recorded"
    return Finding("time", _beyond(low, high, limit), effect, low, high, limit, min(len(base), len(head)), note)


def _relative(check: Check, ratios: Sequence[float], limit: float, note: str = "") -> Finding:
    low, high = intervals.of_median(ratios)
    middle = sorted(ratios)[len(ratios) // 2] if math.isinf(max(ratios)) else float(np.median(ratios))
    return Finding(check, _beyond(low - 1, high - 1, limit), middle - 1, low - 1, high - 1, limit, len(ratios), note)


def _beyond(low: float, high: float, limit: float) -> Outcome:
    """Larger is worse; a fall to 1/(1 + limit) is as large as a rise by the limit."""
    return "worse" if low > limit else "better" if high < 1 / (1 + limit) - 1 else "ok"


def _first(run: SeedRun, target: float) -> float:
    return next((i for i, _, accuracy in run.curve if i > 0 and accuracy >= target), math.inf)


def _ratio(base: float, head: float) -> float | None:
    """Head over base; None where neither side reached the target."""
    if math.isinf(base):
        return None if math.isinf(head) else 0.0
    return head / base


def _seconds(values: Sequence[float]) -> str:
    return f"{1000 * float(np.median(values)):.3g} ms"
