"""What ``regress --calibrate`` does: the gate against this very code, many times, and how often it errs.

The pairs of seconds are kept in the file of ``--json`` after every pass over the benchmarks. The same command goes on
with that file, since so many comparisons take longer than a machine stays quiet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable, write_atomic
from pdadmm_bench.core.options import Output
from pdadmm_bench.gate import checks
from pdadmm_bench.gate import measure as gate
from pdadmm_bench.gate.calibration import CAUGHT, Pairs, of_accuracies, of_times, slower
from pdadmm_bench.gate.checkout import HEAD
from pdadmm_bench.gate.evidence import Benchmark, setting_of
from pdadmm_bench.gate.measure import GateSuite
from pdadmm_bench.gate.thresholds import Thresholds

PLANTED_POINTS = 1.0
PLANTED_PERCENT = 10
"""A slowdown of so much, planted afterwards, has as many pairs as the gate would have taken for it."""

Comparison = dict[str, Any]
"""``machine_class``, ``benchmark``, its ``version``, and ``pairs`` of seconds."""


def calibrate(name: str, comparisons: int, output: Output) -> None:
    """Compare this code with itself until there are that many comparisons of times, and say how often the gate errs."""
    suite = gate.load(name)
    if not suite.timed:
        raise UserError(f"{name} has no benchmark whose time is measured")
    tell = gate.teller(output)
    tell(f"machine class: {gate.this_class()}")
    found = _kept(output.json_file, suite) if output.json_file else []
    if found:
        tell(f"{output.json_file}: {len(found)} comparisons from before")
    (head,) = gate.collect(suite, [HEAD], output, tell)
    gate.check_finished(head)
    try:
        while len(found) < comparisons:
            tell(f"{len(found)} of {comparisons} comparisons")
            pairs = gate.time_in_turn(suite, HEAD, output, tell, suite.timed, _decided)
            found += [
                {"machine_class": gate.this_class(), "benchmark": key, "version": head[key].version, "pairs": values}
                for key, values in pairs.items()
            ]
            if output.json_file:
                write_atomic(output.json_file, json.dumps(found) + "\n")
    except KeyboardInterrupt:
        tell("stopped: what was measured so far is judged")
        if not found:
            raise
    _tell_of_times(suite, found)
    _tell_of_accuracies(suite, head.values(), max(200, len(found)))


def _kept(path: Path, suite: GateSuite) -> list[Comparison]:
    """The comparisons of an earlier call; raises :class:`UserError` for a file of something else."""
    check_writable(path)
    if not path.exists():
        return []
    versions = {name: Benchmark(name, setting_of(flats[0])).version for name, flats in suite.runs.items()}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = [(item["machine_class"], versions.get(item["benchmark"]) == item["version"]) for item in found]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"--json {path}: what is there was not written by --calibrate; give another file") from None
    for machine_class, same in known:
        if machine_class != gate.this_class():
            raise UserError(f"--json {path} was measured on another machine class, {machine_class}; give another file")
        if not same:
            raise UserError(f"--json {path} was measured with another suite; give another file")
    return found


def _decided(pairs: Pairs, thresholds: Thresholds) -> bool:
    """Whether the gate would stop here, both with the times as they are and with the planted slowdown."""
    return checks.decided(pairs, thresholds) and checks.decided(slower(pairs, PLANTED_PERCENT), thresholds)


def _tell_of_times(suite: GateSuite, found: list[Comparison]) -> None:
    comparisons = [(item["pairs"], suite.thresholds(item["benchmark"])) for item in found]
    times = of_times(comparisons, least=gate.ROUNDS * gate.PAIRS, step=gate.PAIRS)
    typer.echo(f"machine class: {gate.this_class()}")
    typer.echo(
        f"times: {times.comparisons} comparisons of this code with itself, {times.false_alarms} called worse, "
        f"{times.false_better} better: {_percent(times.false_alarms / times.comparisons)} false alarms "
        f"(95 % limit {_percent(times.false_alarm_limit)}); half-width of the intervals {_percent(times.half_width)} "
        f"(median), pairs {min(len(item['pairs']) for item in found)} to {max(len(item['pairs']) for item in found)}"
    )
    caught = ", ".join(f"{p} % {_percent(times.caught[p])}" for p in (5, 7, 10, 15, 20) if p in times.caught)
    typer.echo(f"slowdowns caught: {caught}")
    smallest = f"{times.smallest} %" if times.smallest is not None else f"none up to {max(times.caught)} %"
    typer.echo(f"smallest slowdown caught {100 * CAUGHT:.0f} times in 100: {smallest}")


def _tell_of_accuracies(suite: GateSuite, head: Iterable[Benchmark], comparisons: int) -> None:
    several = [(list(b.runs.values()), suite.thresholds(b.name)) for b in head if len(b.runs) > 1]
    if several:
        nodes = int(next(iter(suite.runs.values()))[0]["num_test"])
        found = of_accuracies(several, nodes, comparisons, PLANTED_POINTS)
        typer.echo(
            f"accuracies, simulated on these runs with {nodes} test nodes: "
            f"{found.false_alarms} of {found.comparisons} null comparisons called worse; "
            f"a loss of {PLANTED_POINTS:g} point caught in {_percent(found.caught)}"
        )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
