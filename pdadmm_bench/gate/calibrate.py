"""Compares this code with itself many times (``regress --calibrate``), and counts how often the gate errs.

The pairs of seconds are written to the file of ``--json`` after every pass over the benchmarks. The same command, given
again, continues with that file, because the comparisons may take longer than a machine stays quiet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable, write_atomic
from pdadmm_bench.core.options import Output
from pdadmm_bench.gate import checks, measure
from pdadmm_bench.gate.checkout import HEAD
from pdadmm_bench.gate.error_rates import (
    AccuracyErrorRates,
    SecondsPairs,
    TimeErrorRates,
    of_accuracies,
    of_times,
    slower,
)
from pdadmm_bench.gate.evidence import Benchmark, setting_of
from pdadmm_bench.gate.measure import GateSuite
from pdadmm_bench.gate.thresholds import Thresholds

PLANTED_POINTS = 1.0
PLANTED_PERCENT = 10
"""Pairs are measured until the gate would also have decided about this slowdown, which is planted afterwards."""

KeptComparison = dict[str, Any]
"""``machine_class``, ``commit``, ``benchmark``, its ``version``, and ``pairs`` of seconds."""


@dataclass(frozen=True)
class Calibration:
    """How often the gate errs about times, and about accuracies where benchmarks have several seeds."""

    times: TimeErrorRates
    fewest_pairs: int
    most_pairs: int
    """Of a comparison of times."""
    accuracies: AccuracyErrorRates | None
    test_nodes: int
    """Of the simulated accuracies."""


def calibrate(name: str, comparisons: int, output: Output, tell: measure.Tell) -> Calibration:
    """Compare this code with itself until there are at least ``comparisons`` comparisons of times.

    Ctrl-C ends the measuring, and what was measured by then is judged.
    """
    suite = measure.load(name)
    if not suite.timed:
        raise UserError(f"{name} has no benchmark whose time is measured")
    tell(f"machine class: {measure.this_class()}")
    found = _kept(output.json_file, suite) if output.json_file else []
    if found:
        tell(f"{output.json_file}: {len(found)} comparisons from before")
    here = {"machine_class": measure.this_class(), "commit": environment()["env_commit"]}
    (head,) = measure.collect(suite, [HEAD], output, tell)
    measure.check_finished(head)
    try:
        while len(found) < comparisons:
            tell(f"{len(found)} of {comparisons} comparisons")
            pairs = measure.time_in_turn(suite, HEAD, output, tell, suite.timed, _decided)
            found += [
                {**here, "benchmark": key, "version": head[key].version, "pairs": values}
                for key, values in pairs.items()
            ]
            if output.json_file:
                write_atomic(output.json_file, json.dumps(found) + "\n")
    except KeyboardInterrupt:
        tell("stopped: what was measured so far is judged")
        if not found:
            raise
    return judged(suite, found, head.values())


def judged(suite: GateSuite, found: Sequence[KeptComparison], benchmarks: Iterable[Benchmark]) -> Calibration:
    """How often the gate would have erred in the comparisons ``found``, and on accuracies like those of ``benchmarks``.

    Raises ``ValueError`` where nothing was found.
    """
    nodes = int(next(iter(suite.runs.values()))[0]["num_test"])
    return Calibration(
        times=of_times(
            [(item["pairs"], suite.thresholds(item["benchmark"])) for item in found],
            least=measure.ROUNDS * measure.PAIRS,
            step=measure.PAIRS,
        ),
        fewest_pairs=min(len(item["pairs"]) for item in found),
        most_pairs=max(len(item["pairs"]) for item in found),
        accuracies=_accuracies(suite, benchmarks, nodes, max(200, len(found))),
        test_nodes=nodes,
    )


def _kept(path: Path, suite: GateSuite) -> list[KeptComparison]:
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
        if machine_class != measure.this_class():
            raise UserError(f"--json {path} was measured on another machine class, {machine_class}; give another file")
        if not same:
            raise UserError(f"--json {path} was measured with another suite; give another file")
    return found


def _decided(pairs: SecondsPairs, thresholds: Thresholds) -> bool:
    """Whether the gate would stop here, both with the times as they are and with the planted slowdown."""
    return checks.decided(pairs, thresholds) and checks.decided(slower(pairs, PLANTED_PERCENT), thresholds)


def _accuracies(
    suite: GateSuite, head: Iterable[Benchmark], test_nodes: int, comparisons: int
) -> AccuracyErrorRates | None:
    several = [(list(item.runs.values()), suite.thresholds(item.name)) for item in head if len(item.runs) > 1]
    return of_accuracies(several, test_nodes, comparisons, PLANTED_POINTS) if several else None
