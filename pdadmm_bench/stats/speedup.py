"""Speedups: how many times faster than a named reference, with interval, and the efficiency per worker.

A speedup is the median over pairs (repetitions in turn, or the same seeds) of the ratio within a pair: a machine whose
speed drifts slows both runs of a pair alike.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row
from pdadmm_bench.stats.differences import in_turn
from pdadmm_bench.stats.estimate import Estimate, aggregate
from pdadmm_bench.stats.metrics import metric
from pdadmm_bench.stats.pairing import PairGroup, device_class, pair, settings

TIME = "time_iteration_median_s"


@dataclass(frozen=True)
class Speedup:
    """One setting against the reference."""

    setting: dict[str, Any]
    reference: dict[str, Any]
    ratio: Estimate
    """Seconds of the reference over seconds of the setting: above 1 is faster."""
    efficiency: Estimate
    """The ratio, divided by how many times more workers the setting has."""
    seconds: Estimate
    reference_seconds: Estimate
    left_out: Counter[str]
    """Pairs that could not be compared, counted under the reason."""
    in_turn: bool
    """Whether setting and reference alternated; if not, the machine's drift is in the ratio."""


@dataclass(frozen=True)
class Speedups:
    """A table of speedups, and the rows without a reference, counted under the reason."""

    lines: list[Speedup]
    unpaired: Counter[str]


def efficiency(ratio: Estimate, workers: float) -> Estimate:
    """The speedup per worker; ``workers`` is the number of workers relative to that of the reference."""
    return ratio.map(lambda value: value / workers)


def speedups(rows: Sequence[Row], reference: Mapping[str, Any], column: str = TIME) -> Speedups:
    """Every setting in ``rows`` against the reference on the same problem, network and seeds.

    Args:
        rows: result rows; failed ones are counted, not used.
        reference: settings of the reference by name: ``{"gpus": 1}`` is each optimizer's own single worker,
            ``{"optimizer": "adam"}`` Adam on the same number of workers, both together a single worker of Adam.
        column: the seconds to compare.

    Raises :class:`UserError` when no row is a reference, and when several different ones fit a setting.
    """
    chosen = [row for row in rows if reference.items() <= settings(row).items()]
    if not chosen:
        raise UserError(f"no row is the reference {_text(reference)}")
    pairing = pair(chosen, rows, compared=reference)
    for group, other in itertools.permutations(pairing.groups, 2):
        if group.b == other.b:
            differing = sorted(name for name in group.a if group.a[name] != other.a.get(name))
            raise UserError(f"the reference {_text(reference)} is not one setting: name its {', '.join(differing)} too")
    return Speedups([_speedup(group, column) for group in pairing.groups], pairing.unpaired_b)


def _speedup(group: PairGroup, column: str) -> Speedup:
    measured = metric(column)
    left_out: Counter[str] = Counter()
    pairs = []
    for one, other in group.pairs:
        before, after = measured.value(one), measured.value(other)
        if device_class(one) != device_class(other):
            left_out[f"different machine class: {device_class(one)} / {device_class(other)}"] += 1
        elif before is None or after is None:
            left_out[f"no {column} (reference {one['status']}, run {other['status']})"] += 1
        else:
            pairs.append((before, after))
    ratio = aggregate(before / after for before, after in pairs)
    workers = (group.b.get("gpus") or 1) / (group.a.get("gpus") or 1)
    return Speedup(
        setting=group.b,
        reference=group.a,
        ratio=ratio,
        efficiency=efficiency(ratio, workers),
        seconds=aggregate(after for _, after in pairs),
        reference_seconds=aggregate(before for before, _ in pairs),
        left_out=left_out,
        in_turn=in_turn(group.pairs),
    )


def _text(reference: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in reference.items())
