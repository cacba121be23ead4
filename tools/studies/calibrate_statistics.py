"""Measure how often the statistics err: coverage of intervals, false alarms and detections of verdicts.

    python tools/studies/calibrate_statistics.py reports/studies/statistics.json [--repetitions 400] [--pairs 10]

``tools/docs/studies.py`` makes the tables of docs/statistics.md of the file. ``measured`` takes real iteration times of
this machine: one small run is repeated many times, and its times are given to two sides in turn, or to one side after
the other. So the sides are the same code. A slowdown is planted by multiplying the times of one side. All else is
simulated.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from kept import keep
from scipy import stats

from pdadmm_bench.stats.estimate import aggregate
from pdadmm_bench.stats.metrics import Metric, metric
from pdadmm_bench.stats.paired import Comparison, compare, judge

ACCURACY, TIME = metric("acc_test_at_best_val"), metric("time_iteration_median_s")

Line = list[str]
"""The words of a line of a table; the first line has the headings."""
Draw = Callable[[np.random.Generator, int], np.ndarray]

#: Name, draw of n values, mean, median.
POPULATIONS: tuple[tuple[str, Draw, float, float], ...] = (
    ("normal", lambda rng, n: rng.normal(size=n), 0.0, 0.0),
    ("log-normal, σ = 0.5", lambda rng, n: rng.lognormal(0, 0.5, n), float(np.exp(0.125)), 1.0),
    (
        "normal, one in ten 10 × wider",
        lambda rng, n: rng.normal(size=n) * np.where(rng.random(n) < 0.1, 10, 1),
        0.0,
        0.0,
    ),
    ("normal, rounded to 0.3 σ", lambda rng, n: np.round(rng.normal(size=n) / 0.3) * 0.3, 0.0, 0.0),
)

#: Noise of one side's time, as a factor.
NOISES: tuple[tuple[str, Draw], ...] = (
    ("1 %", lambda rng, n: np.exp(rng.normal(0, 0.01, n))),
    ("2 %", lambda rng, n: np.exp(rng.normal(0, 0.02, n))),
    ("3 %", lambda rng, n: np.exp(rng.normal(0, 0.03, n))),
    (
        "2 %, one in ten slow by 30 %",
        lambda rng, n: np.exp(rng.normal(0, 0.02, n) + np.where(rng.random(n) < 0.1, rng.exponential(0.3, n), 0)),
    ),
)


def bootstrap(values: np.ndarray, statistic: Callable[..., Any], method: str) -> tuple[float, float]:
    """The interval of scipy, for comparison. BCa warns and has none where no resample changes the median."""
    warnings.simplefilter("ignore")
    found = stats.bootstrap((values,), statistic, method=method, n_resamples=2000, rng=np.random.default_rng(0))
    return found.confidence_interval.low, found.confidence_interval.high


def ours(values: np.ndarray, statistic: Any) -> tuple[float, float]:
    found = aggregate(values.tolist(), statistic)
    assert found.low is not None and found.high is not None
    return found.low, found.high


def coverage(repetitions: int, pairs: int) -> Iterator[Line]:
    """How often a 95 % interval of five, ``pairs`` and twice as many values holds the true value."""
    yield row("population", "n", "mean: percentile", "mean: BCa", "mean: ours", "median: BCa", "median: ours")
    for name, draw, mean, median in POPULATIONS:
        for n in (5, pairs, 2 * pairs):
            samples = [draw(np.random.default_rng(seed), n) for seed in range(repetitions)]
            samples = [values for values in samples if np.ptp(values) > 0]
            methods: list[tuple[float, Callable[[np.ndarray], tuple[float, float]]]] = [
                (mean, lambda values: bootstrap(values, np.mean, "percentile")),
                (mean, lambda values: bootstrap(values, np.mean, "BCa")),
                (mean, lambda values: ours(values, "mean")),
                (median, lambda values: bootstrap(values, np.median, "BCa")),
                (median, lambda values: ours(values, "median")),
            ]
            hits = [sum(low <= true <= high for low, high in map(interval, samples)) for true, interval in methods]
            yield row(name, n, *(percent(count, len(samples)) for count in hits))


HEADINGS = ("pairs", "called a difference, null", "5 % slowdown found", "the interval allows it", "found then")


def shares(sides: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[str]:
    """False alarms, and detections of a slowdown of 5 %, of all and of those whose interval is no wider than that."""
    alarms = judged(sides)
    slow = judged([(a, 1.05 * b) for a, b in sides])
    narrow = [found for found in slow if (found.effect.high or 0.0) <= 1.05 * (found.effect.low or 0.0)]
    return [
        percent(sum(found.verdict in ("better", "worse") for found in alarms), len(sides)),
        percent(sum(found.verdict == "worse" for found in slow), len(sides)),
        percent(len(narrow), len(sides)),
        percent(sum(found.verdict == "worse" for found in narrow), len(narrow)),
    ]


def judged(sides: Sequence[tuple[np.ndarray, np.ndarray]], of: Metric = TIME) -> list[Comparison]:
    """The verdict on each pair of sides, as if each were a whole table."""
    return [judge([compare(a.tolist(), b.tolist(), of)])[0] for a, b in sides]


def simulated(repetitions: int, pairs: int) -> Iterator[Line]:
    """Verdicts on simulated times."""
    yield row("noise of a time", *HEADINGS)
    for name, draw in NOISES:
        for n in (pairs, 2 * pairs):
            rng = np.random.default_rng(0)
            yield row(name, n, *shares([(draw(rng, n), draw(rng, n)) for _ in range(repetitions)]))


def accuracies(repetitions: int, pairs: int) -> Iterator[Line]:
    """Verdicts on simulated accuracies of 1000 test nodes."""
    yield row("standard deviation", "pairs", "called a difference, null", "1 point lost, found")
    for points in (0.3, 0.5, 1.0):
        rng = np.random.default_rng(0)
        sides = [np.round(rng.normal(0.8, points / 100, size=(2, pairs)), 3) for _ in range(repetitions)]
        alarms = judged([(a, b) for a, b in sides], ACCURACY)
        lost = judged([(a, b - 0.01) for a, b in sides], ACCURACY)
        yield row(
            f"{points} points", pairs,
            percent(sum(found.verdict in ("better", "worse") for found in alarms), repetitions),
            percent(sum(found.verdict == "worse" for found in lost), repetitions),
        )  # fmt: skip


def measured(repetitions: int, pairs: int) -> Iterator[Line]:
    """Verdicts on real iteration times, with the same code on both sides."""
    from pdadmm_bench.core.spec import run_spec
    from pdadmm_bench.data.load import load_problem
    from pdadmm_bench.parallel.group import Group
    from pdadmm_bench.training.run import time_iterations

    spec = run_spec({"dataset": "sbm", "hops": 1, "layers": 2, "hidden": 32, "threads": 1})
    problem = load_problem(spec.data)
    seconds = []
    for count in range(repetitions * 2 * pairs):
        result = time_iterations(spec, problem, Group(), 5)
        assert result is not None
        seconds.append(result["time_iteration_median_s"])
        if count % 500 == 499:
            print(f"{count + 1} runs", file=sys.stderr)
    blocks = np.asarray(seconds).reshape(repetitions, 2 * pairs)
    turns = [(block[::2], block[1::2]) for block in blocks]
    apart = [(block[:pairs], block[pairs:]) for block in blocks]
    yield row("the two sides", *HEADINGS)
    yield row("in turn", pairs, *shares(turns))
    yield row("one after the other", pairs, *shares(apart))


def row(*cells: Any) -> Line:
    return [str(cell) for cell in cells]


def percent(part: float, whole: float = 1.0) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


PARTS: dict[str, Callable[[int, int], Iterator[Line]]] = {
    "coverage": coverage, "times": simulated, "accuracies": accuracies, "measured": measured,
}  # fmt: skip
"""The tables."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="the lines of every table")
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=10)
    asked = parser.parse_args()
    rows = []
    for part, lines in PARTS.items():
        header, *rest = lines(asked.repetitions, asked.pairs)
        rows += [{"table": part, **dict(zip(header, line, strict=True))} for line in rest]
        keep(asked.path, rows)


if __name__ == "__main__":
    main()
