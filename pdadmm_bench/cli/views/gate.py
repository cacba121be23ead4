"""What ``regress`` and ``baseline`` print: verdicts, error rates of a calibration, and recorded baselines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median

import typer

from pdadmm_bench.cli.views import console
from pdadmm_bench.gate import summary
from pdadmm_bench.gate.baseline import Baseline
from pdadmm_bench.gate.calibrate import Calibration
from pdadmm_bench.gate.error_rates import CAUGHT
from pdadmm_bench.gate.evidence import Benchmark
from pdadmm_bench.gate.judge import GateReport
from pdadmm_bench.gate.measure import this_class
from pdadmm_bench.report.tables.baseline import BaselineEntry, baseline_table
from pdadmm_bench.report.tables.comparison import count
from pdadmm_bench.report.tables.gate import verdict_table

SLOWDOWNS = (5, 7, 10, 15, 20)
"""Slowdowns in percent for which a calibration prints the share that was caught."""


def teller(quiet: bool) -> Callable[[str], None]:
    """A function that prints on stderr what is being done, unless ``quiet``."""
    return (lambda text: None) if quiet else (lambda text: typer.echo(text, err=True))


def show_report(report: GateReport) -> None:
    """Print the verdicts, the worst first."""
    typer.echo(f"base: {report.base}")
    for note in report.notes:
        typer.echo(f"note: {note}")
    console.show(verdict_table((item.name, item.verdict, summary.explanation(item)) for item in report.verdicts))
    typer.echo(summary.totals(report))


def show_calibration(found: Calibration) -> None:
    """Print how often the gate errs."""
    times = found.times
    typer.echo(f"machine class: {this_class()}")
    typer.echo(
        f"times: {times.comparisons} comparisons of this code with itself, {times.false_alarms} called worse, "
        f"{times.false_better} better: {_percent(times.false_alarms / times.comparisons)} false alarms "
        f"(95 % limit {_percent(times.false_alarm_limit)}); half-width of the intervals {_percent(times.half_width)} "
        f"(median), pairs {found.fewest_pairs} to {found.most_pairs}"
    )
    caught = ", ".join(f"{p} % {_percent(times.caught[p])}" for p in SLOWDOWNS if p in times.caught)
    typer.echo(f"slowdowns caught: {caught}")
    smallest = f"{times.smallest} %" if times.smallest is not None else f"none up to {max(times.caught)} %"
    typer.echo(f"smallest slowdown caught {100 * CAUGHT:.0f} times in 100: {smallest}")
    if found.accuracies:
        typer.echo(
            f"accuracies, simulated on these runs with {found.test_nodes} test nodes: "
            f"{found.accuracies.false_alarms} of {found.accuracies.comparisons} null comparisons called worse; "
            f"a loss of {found.accuracies.lost_points:g} point caught in {_percent(found.accuracies.caught)}"
        )


def show_recorded(path: Path, baseline: Baseline) -> None:
    """Say what was recorded, and where."""
    runs = sum(len(benchmark.runs) for benchmark in baseline.benchmarks.values())
    times = "with" if baseline.timed else "no"
    typer.echo(f"{path}: {count(len(baseline.benchmarks), 'benchmark')}, {count(runs, 'run')}, {times} times")


def show_baselines(folder: Path, found: list[tuple[Path, Baseline]]) -> None:
    """Print a line per baseline; those of this machine's class are marked."""
    typer.echo(f"machine class: {this_class()}")
    if not found:
        typer.echo(f"no baseline in {folder}; pdadmm-bench baseline record makes one")
    for path, baseline in found:
        own = " (this machine's class)" if baseline.machine_class == this_class() else ""
        typer.echo(f"{path}: {count(len(baseline.benchmarks), 'benchmark')}, recorded {baseline.recorded}{own}")


def show_baseline(path: Path, baseline: Baseline) -> None:
    """Print the benchmarks of a baseline."""
    typer.echo(f"{path}, recorded {baseline.recorded} at commit {str(baseline.environment.get('env_commit'))[:10]}")
    other = "" if baseline.machine_class == this_class() else " (another one)"
    typer.echo(f"machine class: {baseline.machine_class}{other}")
    console.show(baseline_table(map(_entry, baseline.benchmarks.values())))


def _entry(benchmark: Benchmark) -> BaselineEntry:
    runs = list(benchmark.runs.values())
    accuracies = [acc for run in runs if (acc := run.row.get("acc_test_at_best_val")) is not None]
    losses = [run.curve[-1][1] for run in runs if run.curve]
    first = runs[0].row
    return BaselineEntry(
        name=benchmark.name,
        version=benchmark.version,
        seeds=len(runs),
        accuracy=fmean(accuracies) if accuracies else None,
        loss=fmean(losses) if losses else None,
        sent_bytes=first.get("dist_sent_bytes") or 0,
        state_bytes=first.get("memory_state_bytes") or 0,
        seconds=median(benchmark.seconds) if benchmark.seconds else None,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
