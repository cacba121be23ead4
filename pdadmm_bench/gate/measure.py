"""Measures what the regression gate judges: runs over seeds of one side or two, and times in turn.

Runs of both sides are made at the same time, because nothing of them is timed. Times are taken in rounds. Each round
starts a new process per side, because a process can be fast or slow by chance, through the layout of its memory. It
measures pairs: base and head right after each other on the same core, in an order that changes from pair to pair.
Rounds go on for those benchmarks whose interval still contains the threshold.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pdadmm_bench.core.env import environment, machine_class
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.launcher import launched
from pdadmm_bench.core.options import Output
from pdadmm_bench.core.typed import read_toml
from pdadmm_bench.data.load import look_for
from pdadmm_bench.gate.benchmark_process import BenchmarkProcess
from pdadmm_bench.gate.checkout import HEAD, CannotCompare, Checkout
from pdadmm_bench.gate.evidence import Benchmark, asked, data_of, names, run_of, seed_of, setting_of
from pdadmm_bench.gate.thresholds import SuiteThresholds, Thresholds
from pdadmm_bench.suite.file import Suite, find, read

MEASUREMENT_S = 0.04
"""A measurement has as many iterations as take about this long. Most interruptions on a busy machine are longer."""
LEAST_ITERATIONS, MOST_ITERATIONS = 8, 60
PAIRS, ROUNDS, MOST_ROUNDS = 12, 3, 10
"""Pairs in a round, rounds for every benchmark, and the most rounds for one that is not decided."""
RECORDED_ROUNDS, RECORDED = 3, 5
"""For a baseline: processes, and measurements of each benchmark in each of them."""

Tell = Callable[[str], None]
"""Receives messages about what is being done."""
TimedPairs = dict[str, list[tuple[float, float]]]
"""By benchmark: seconds of an iteration of base and head, measured right after each other."""
Decided = Callable[[Sequence[tuple[float, float]], Thresholds], bool]
"""Whether more pairs of a benchmark would change nothing about its verdict."""


@dataclass(frozen=True)
class GateSuite:
    """A suite as the gate sees it: benchmarks with their runs, in the order of the file."""

    name: str
    suite: Suite
    gate: SuiteThresholds
    runs: dict[str, list[dict[str, Any]]]
    """Benchmark → flat specification of each of its runs."""

    @property
    def timed(self) -> list[str]:
        """The benchmarks whose time is measured: of one worker, and not excepted."""
        return [name for name, flats in self.runs.items() if flats[0]["gpus"] == 1 and self.thresholds(name).time]

    def thresholds(self, name: str) -> Thresholds:
        """The thresholds of a benchmark."""
        return self.gate.of(self.runs[name][0])

    def packages(self) -> list[str]:
        """The top packages whose code the benchmarks run."""
        from pdadmm_bench.optim import registry

        optimizers = dict.fromkeys(flats[0]["optimizer"] for flats in self.runs.values())
        return ["pdadmm_bench", *(registry.get(name).__module__.partition(".")[0] for name in optimizers)]


def load(name: str, seeds: int | None = None) -> GateSuite:
    """The suite ``name`` with at most ``seeds`` seeds per benchmark; raises :class:`UserError` for a bad file."""
    if launched():
        raise CannotCompare("the gate starts the workers of its runs itself: call it without torchrun")
    path = find(name)
    suite = read(path)
    gate = SuiteThresholds(read_toml(path).get("gate", {}), path.name)
    groups: dict[str, list[dict[str, Any]]] = {}
    for spec in suite.specs.values():
        flat = spec.flat()
        groups.setdefault(repr(sorted(setting_of(flat).items(), key=str)), []).append(flat)
    flats = list(groups.values())
    called = names([setting_of(group[0]) for group in flats])
    runs = {name: group[:seeds] for name, group in zip(called, flats, strict=True)}
    for group in flats:
        gate.of(group[0])
    gate.check_used()
    return GateSuite(suite.name, suite, gate, runs)


def collect(suite: GateSuite, sides: Sequence[Checkout], output: Output, tell: Tell) -> list[dict[str, Benchmark]]:
    """The runs of every benchmark on every side; one that a side does not know has no runs there."""
    specs = [asked(flat) for flats in suite.runs.values() for flat in flats]
    tell(f"{len(specs)} runs" + (f" of each of {len(sides)} sides" if len(sides) > 1 else ""))
    with ExitStack() as stack:
        probes = [stack.enter_context(BenchmarkProcess(side)) for side in sides]
        # In separate processes, since the memory for making features would count as peak memory of a run.
        for side in () if _in_cache(suite, output) else sides:
            with BenchmarkProcess(side) as probe:
                probe.check_code()
                probe.call("prepare", specs=specs, output=_options(output))
        for probe in probes:
            probe.check_code()
            probe.ask("run", specs=specs, output=_options(output))
        answers = [probe.answer() for probe in probes]
    return [_benchmarks(suite, answer) for answer in answers]


def _in_cache(suite: GateSuite, output: Output) -> bool:
    """Whether the rows of every run have been computed before."""
    datas = {spec.data.model_dump_json(): spec.data for spec in suite.suite.specs.values()}
    return all(look_for(data, data_root=output.data_root, cache=output.cache).ready for data in datas.values())


def _benchmarks(suite: GateSuite, answers: Iterable[dict[str, Any]]) -> dict[str, Benchmark]:
    found = {}
    left = iter(answers)
    for name, flats in suite.runs.items():
        benchmark = Benchmark(name, setting_of(flats[0]))
        for flat, answer in zip(flats, itertools.islice(left, len(flats)), strict=True):
            if "row" in answer:
                benchmark.runs[seed_of(flat)] = run_of(answer["row"], answer["history"])
                benchmark.data = benchmark.data or data_of(answer["row"])
        found[name] = benchmark
    return found


def record_times(suite: GateSuite, side: Checkout, output: Output, tell: Tell) -> dict[str, list[float]]:
    """Seconds of an iteration of every timed benchmark, from several processes."""
    found: dict[str, list[float]] = {name: [] for name in suite.timed}
    stopwatch = _Stopwatch(suite, output)
    for number in range(RECORDED_ROUNDS):
        tell(f"times, round {number + 1} of {RECORDED_ROUNDS}: {len(found)} benchmarks")
        with BenchmarkProcess(side) as probe:
            probe.check_code()
            for name, seconds in found.items():
                stopwatch.warm(name, [probe])
                seconds += [stopwatch.seconds(name, probe, core) for core in range(RECORDED)]
    return found


def time_in_turn(
    suite: GateSuite, base: Checkout, output: Output, tell: Tell, timed: Sequence[str], decided: Decided
) -> TimedPairs:
    """Seconds of an iteration of base and head, in pairs, of the benchmarks ``timed``."""
    pairs: TimedPairs = {name: [] for name in timed}
    stopwatch = _Stopwatch(suite, output)
    for number in range(MOST_ROUNDS):
        left = [name for name, found in pairs.items() if number < ROUNDS or not decided(found, suite.thresholds(name))]
        if not left:
            break
        tell(f"times in turn, round {number + 1}: {len(left)} benchmarks")
        with BenchmarkProcess(base) as first, BenchmarkProcess(HEAD) as second:
            for probe in (first, second):
                probe.check_code()
            for name in left:
                stopwatch.warm(name, [first, second])
                pairs[name] += [_pair(stopwatch, name, first, second, turn) for turn in range(PAIRS)]
    return pairs


def _pair(
    stopwatch: _Stopwatch, name: str, base: BenchmarkProcess, head: BenchmarkProcess, turn: int
) -> tuple[float, float]:
    """One measurement of each, on the same core; which comes first, and the core, change from turn to turn."""
    order = (base, head) if turn % 2 == 0 else (head, base)
    seconds = {id(probe): stopwatch.seconds(name, probe, turn // 2) for probe in order}
    return seconds[id(base)], seconds[id(head)]


class _Stopwatch:
    """Asks probes for seconds; both sides make the same number of iterations, which the first answer decides."""

    def __init__(self, suite: GateSuite, output: Output):
        self._suite, self._options = suite, _options(output)
        self._iterations: dict[str, int] = {}

    def warm(self, name: str, probes: Sequence[BenchmarkProcess]) -> None:
        """Make one measurement with each process; it does not count."""
        for probe in probes:
            seconds = self._ask(name, probe, LEAST_ITERATIONS, None)
            if name not in self._iterations:
                wanted = round(MEASUREMENT_S / seconds) if seconds else MOST_ITERATIONS
                self._iterations[name] = min(MOST_ITERATIONS, max(LEAST_ITERATIONS, wanted))

    def seconds(self, name: str, probe: BenchmarkProcess, core: int) -> float:
        """Seconds of an iteration, on the ``core``-th core if the run has a single thread."""
        spec = self._suite.runs[name][0]
        return self._ask(name, probe, self._iterations[name], core if spec["threads"] == 1 else None)

    def _ask(self, name: str, probe: BenchmarkProcess, iterations: int, core: int | None) -> float:
        spec = self._suite.runs[name][0]
        seconds: float = probe.call("time", spec=asked(spec), iterations=iterations, core=core, output=self._options)
        return seconds


def this_class() -> str:
    """The class of this machine."""
    import torch  # noqa: F401  (its import lets the environment see accelerators)

    return machine_class(environment())


def _options(output: Output) -> dict[str, Any]:
    """What a side needs to know about data and workers."""
    kept = output.model_dump(mode="json", include={"data_root", "cache", "offline", "dist_timeout"})
    return {name: value for name, value in kept.items() if value is not None}


def check_finished(benchmarks: dict[str, Benchmark]) -> None:
    """Raise :class:`UserError` for a failed run, which nothing can be compared with."""
    for name, benchmark in benchmarks.items():
        for seed, run in benchmark.runs.items():
            if not run.finished and run.row["status"] != "skipped":
                reason = run.row.get("status_reason")
                raise UserError(f"{name}, seed {seed}, ended as {run.row['status']} ({reason}): nothing was recorded")
