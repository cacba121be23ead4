"""Compare the rows of two sides: a line per comparison, and the reason for each row that could not be compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pdadmm_bench.core.rows import Row, shared
from pdadmm_bench.stats.differences import compared, in_turn, other_differences
from pdadmm_bench.stats.metrics import Metric
from pdadmm_bench.stats.paired import ALPHA, Comparison, compare, judge
from pdadmm_bench.stats.pairing import PairGroup, device_class, pair, repetition, settings

Pair = tuple[Row, Row]


@dataclass(frozen=True)
class ComparisonLine:
    """The comparison of one metric over one group of pairs."""

    setting: dict[str, Any]
    """What the pairs of the line share; ``x → y`` for what is compared."""
    comparison: Comparison
    left_out: Counter[str]
    """Pairs that are not in the comparison, counted under the reason."""
    misses: tuple[int, int]
    """How many pairs missed the target on side a, and how many on side b."""
    in_turn: bool
    """Whether the sides alternated while they were measured."""


@dataclass(frozen=True)
class ComparedSides:
    """Side b against side a: the lines of the table, and what a reader should know beside them."""

    lines: list[ComparisonLine]
    compared: dict[str, tuple[str, ...]]
    """The settings on which the sides differ on purpose, with ``x → y`` for each pair of values."""
    other_differences: dict[str, tuple[str, ...]]
    """What else differs within pairs: versions, threads, resolved hyperparameters, starting weights, time of day."""
    unpaired_a: Counter[str]
    unpaired_b: Counter[str]


def compare_rows(
    a: Sequence[Row], b: Sequence[Row], metrics: Sequence[Metric],
    by: Sequence[str] | None = None, alpha: float = ALPHA, apart: bool = False,
) -> ComparedSides:  # fmt: skip
    """Compare side ``b`` with side ``a``, row by row of the same problem and start.

    Args:
        a, b: result rows of any status.
        metrics: the columns to compare; each has its own lines.
        by: settings that tell lines apart. Pairs that differ in other settings only are put in one line. Default: all
            settings but the seeds, so that a line has the repetitions of one experiment.
        alpha: level of the tests, which Holm's method keeps for all metrics of one kind.
        apart: give verdicts about times although the sides were not measured in turn.
    """
    pairing = pair(a, b)
    blocks = _blocks(pairing.groups, by)
    found = [_line(setting, pairs, metric) for metric in metrics for setting, pairs in blocks]
    return ComparedSides(
        lines=judge_lines(found, alpha, apart),
        compared=compared(pairing.groups),
        other_differences=other_differences(pairing.groups),
        unpaired_a=pairing.unpaired_a,
        unpaired_b=pairing.unpaired_b,
    )


def judge_lines(
    lines: Sequence[ComparisonLine], alpha: float = ALPHA, apart: bool = False
) -> list[ComparisonLine]:  # fmt: skip
    """Give lines, also those of several comparisons, their verdicts in one table; see :func:`compare_rows`."""
    judged = judge([line.comparison for line in lines], alpha)
    return [
        replace(line, comparison=_final(replace(line, comparison=comparison), apart))
        for line, comparison in zip(lines, judged, strict=True)
    ]


def _blocks(groups: Sequence[PairGroup], by: Sequence[str] | None) -> list[tuple[dict[str, Any], list[Pair]]]:
    """The pairs of each line, with the settings that tell it from others; always with dataset and optimizer."""
    if by is None:
        names = sorted({name for group in groups for name in group.a.keys() | group.b.keys()})
        shown = [
            name
            for name in names
            if name in ("dataset", "optimizer") or len({str(group.value(name)) for group in groups}) > 1
        ]
        by = sorted(shown, key=lambda name: (name != "dataset", name != "optimizer"))
    blocks: dict[str, tuple[dict[str, Any], list[Pair]]] = {}
    for group in groups:
        for one, other in group.pairs:
            seeds = dict(zip(("split_seed", "seed"), repetition(one), strict=True))
            setting = {name: seeds[name] if name in seeds else group.value(name) for name in by}
            blocks.setdefault(str(setting), (setting, []))[1].append((one, other))
    return list(blocks.values())


def _line(setting: dict[str, Any], pairs: Sequence[Pair], metric: Metric) -> ComparisonLine:
    left_out: Counter[str] = Counter()
    usable = []
    for one, other in pairs:
        reason = _not_comparable(one, other, metric) or _without_value(one, other, metric)
        if reason:
            left_out[reason] += 1
        else:
            usable.append((one, other))
    if not _repeats_count(metric):
        usable, repeated = _once(usable)
        left_out += repeated
    values = [(metric.value(one), metric.value(other)) for one, other in usable]
    misses = tuple(sum(value == float("inf") for value in side) for side in zip(*values, strict=True)) or (0, 0)
    comparison = compare([x for x, _ in values], [y for _, y in values], metric)
    if comparison.effect.missing:
        left_out["a value is 0, which has no ratio"] += comparison.effect.missing
    return ComparisonLine(setting, comparison, left_out, (misses[0], misses[1]), in_turn(usable))


def _repeats_count(metric: Metric) -> bool:
    """Whether a second run of a seed is a new sample: it is for times; all other values are the same again."""
    return metric.kind == "time"


def _once(pairs: Sequence[Pair]) -> tuple[list[Pair], Counter[str]]:
    first: dict[Any, Pair] = {}
    for one, other in pairs:
        first.setdefault(str((repetition(one), settings(one), settings(other))), (one, other))
    repeats = len(pairs) - len(first)
    return list(first.values()), Counter({"repeat of a seed, which is no second sample": repeats} if repeats else {})


def _not_comparable(a: Row, b: Row, metric: Metric) -> str | None:
    if a.get("dataset_sha256") and b.get("dataset_sha256") and a["dataset_sha256"] != b["dataset_sha256"]:
        return f"different data: {a['dataset_name']} has another dataset_sha256"
    if metric.kind == "time" and device_class(a) != device_class(b):
        return f"different machine class: {device_class(a)} / {device_class(b)}"
    if metric.kind == "time" and (shared(a) or shared(b)):
        return "made side by side with other runs (env_concurrency > 1), which is no timing"
    if metric.of_target and a.get("time_target_accuracy") != b.get("time_target_accuracy"):
        return f"different target: {a.get('time_target_accuracy')} / {b.get('time_target_accuracy')}"
    return None


def _without_value(a: Row, b: Row, metric: Metric) -> str | None:
    empty = [f"{side} {row['status']}" for side, row in (("A", a), ("B", b)) if metric.value(row) is None]
    if not empty:
        return None
    return f"no {metric.name} ({', '.join(empty)})"


def _final(line: ComparisonLine, apart: bool) -> Comparison:
    """The comparison with its last verdict.

    Without any pair, the reasons why pairs were left out are its reason. A difference of times gets no verdict where
    the sides were not measured in turn, since the machine may have made it.
    """
    found = line.comparison
    if not found.pairs and line.left_out:
        return replace(found, verdict="not compared", reason="; ".join(line.left_out))
    if found.metric.kind == "time" and found.verdict in ("better", "worse") and not (line.in_turn or apart):
        return replace(found, verdict="no difference shown", reason="A and B were not measured in turn")
    return found


def values_for_json(sides: ComparedSides) -> dict[str, Any]:
    """The comparison as plain values for JSON.

    JSON has no infinity: the time of a target that was never reached is null, and the misses are counted.
    """
    lines = [
        {
            "metric": line.comparison.metric.name,
            "setting": line.setting,
            "pairs": line.comparison.pairs,
            "a": asdict(line.comparison.a),
            "b": asdict(line.comparison.b),
            "effect_scale": "ratio" if line.comparison.metric.is_ratio else "difference",
            "effect": asdict(line.comparison.effect),
            "p": line.comparison.p,
            "p_corrected": line.comparison.p_corrected,
            "smallest_effect": line.comparison.metric.smallest,
            "verdict": line.comparison.verdict,
            "reason": line.comparison.reason,
            "missed_a": line.misses[0],
            "missed_b": line.misses[1],
            "left_out": line.left_out,
            "in_turn": line.in_turn,
        }
        for line in sides.lines
    ]
    whole = {
        "alpha": ALPHA,
        "lines": lines,
        "compared": sides.compared,
        "circumstances": sides.other_differences,
        "unpaired_a": sides.unpaired_a,
        "unpaired_b": sides.unpaired_b,
    }
    return {name: _finite(value) for name, value in whole.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
