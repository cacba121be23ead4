"""Judges the evidence of two sides: a verdict per benchmark, and an exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pdadmm_bench.gate import checks
from pdadmm_bench.gate.checks import Finding
from pdadmm_bench.gate.evidence import EXACT, Benchmark, changes
from pdadmm_bench.gate.thresholds import Thresholds

Verdict = Literal["ok", "worse", "better", "new", "missing", "not comparable"]

#: The order in which verdicts are shown: first what a reader has to act on.
ORDER: tuple[Verdict, ...] = ("worse", "not comparable", "missing", "better", "new", "ok")


@dataclass(frozen=True)
class BenchmarkVerdict:
    """One benchmark, head against base."""

    name: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    """The reason for the verdict, where no finding gives it."""

    @property
    def deciding(self) -> list[Finding]:
        """The findings that made the verdict."""
        return [finding for finding in self.findings if finding.outcome == self.verdict]

    def finding(self, check: str) -> Finding | None:
        """What a check found, if it was made."""
        return next((finding for finding in self.findings if finding.check == check), None)


@dataclass
class GateReport:
    """All verdicts, worst first, and what a reader should know beside them."""

    suite: str
    base: str
    """What the head was compared with, in words."""
    verdicts: list[BenchmarkVerdict]
    notes: list[str] = field(default_factory=list)

    def count(self, verdict: Verdict) -> int:
        """How many benchmarks have this verdict."""
        return sum(item.verdict == verdict for item in self.verdicts)

    @property
    def exit_code(self) -> int:
        """1 where something got worse, else 2 where something could not be compared, else 0."""
        if self.count("worse"):
            return 1
        return 2 if self.count("not comparable") or self.count("missing") else 0


@dataclass(frozen=True)
class Comparability:
    """What two sides have in common, which decides what may be compared.

    Args:
        same_machine: of one class, so that peak memory and recorded times may be compared.
        together: measured now by the same machine, so that even the last digits of the rows have to agree.
        pairs: seconds of base and head measured in turn, by benchmark.
    """

    same_machine: bool
    together: bool = False
    pairs: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)


def judge(
    base: Mapping[str, Benchmark],
    head: Mapping[str, Benchmark],
    thresholds: Callable[[Mapping[str, Any]], Thresholds],
    comparability: Comparability,
) -> list[BenchmarkVerdict]:
    """A verdict per benchmark that either side has; the worst ones first, else in the order of the suite."""
    verdicts = [
        judge_benchmark(name, base.get(name), head.get(name), thresholds, comparability)
        for name in [*head, *(name for name in base if name not in head)]
    ]
    return sorted(verdicts, key=lambda item: ORDER.index(item.verdict))


def judge_benchmark(
    name: str,
    base: Benchmark | None,
    head: Benchmark | None,
    thresholds: Callable[[Mapping[str, Any]], Thresholds],
    comparability: Comparability,
) -> BenchmarkVerdict:
    """The verdict about one benchmark."""
    if head is None:
        return BenchmarkVerdict(name, "missing", reason="the base has it, the suite does not")
    if base is None or not base.runs:
        return BenchmarkVerdict(name, "new", reason="the base does not have it")
    changed = _changed(base, head, exactly=comparability.together)
    if changed:
        return BenchmarkVerdict(name, "not comparable", reason=f"the benchmark changed: {changed}")
    shared = checks.same_seeds(base, head)
    if not shared:
        return BenchmarkVerdict(name, "not comparable", reason="no seed in common")
    failed = checks.failures(shared)
    finished = {seed: pair for seed, pair in shared.items() if pair[0].finished and pair[1].finished}
    if not failed and not finished:
        row = next(iter(shared.values()))[1].row
        if row["status"] == "skipped":
            return BenchmarkVerdict(name, "ok", reason=f"skipped on both sides: {row.get('status_reason')}")
        reason = f"failed on both sides: {row['status']}, {row.get('status_reason')}"
        return BenchmarkVerdict(name, "not comparable", reason=reason)
    limits = thresholds(head.setting)
    found = [failed, *(_numbers(name, base, head, finished, limits, comparability) if finished else [])]
    findings = tuple(finding for finding in found if finding is not None)
    outcomes = {finding.outcome for finding in findings}
    verdict: Verdict = "worse" if "worse" in outcomes else "better" if "better" in outcomes else "ok"
    return BenchmarkVerdict(name, verdict, findings)


def _changed(base: Benchmark, head: Benchmark, exactly: bool) -> str:
    """What makes it another benchmark; empty if nothing does.

    The hash of the rows counts only if ``exactly``: processors round features differently, even some of the same name.
    """
    if base.version != head.version:
        return ", ".join(changes(base.setting, head.setting))
    if not base.data or not head.data:
        return ""
    ignored = () if exactly else (EXACT,)
    before, after = ({name: value for name, value in side.data.items() if name not in ignored} for side in (base, head))
    return ", ".join(changes(before, after))


def _numbers(
    name: str,
    base: Benchmark,
    head: Benchmark,
    finished: dict[str, checks.Pair],
    limits: Thresholds,
    comparability: Comparability,
) -> list[Finding | None]:
    pairs = list(finished.values())
    found = [
        checks.accuracy(pairs, limits),
        checks.loss_curve(finished, limits),
        checks.iterations(pairs, limits),
        checks.sent_bytes(pairs),
        checks.memory(pairs, limits, "state memory"),
        checks.memory(pairs, limits, "peak memory") if comparability.same_machine else None,
    ]
    if in_turn := comparability.pairs.get(name):
        found.append(checks.time_in_turn(in_turn, limits))
    elif comparability.same_machine and base.seconds and head.seconds:
        found.append(checks.time_recorded(base.seconds, head.seconds, limits))
    return found
