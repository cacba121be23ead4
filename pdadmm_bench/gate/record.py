"""What ``baseline`` does: records the evidence of a suite, and shows what was recorded."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, median

import typer

from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable
from pdadmm_bench.core.options import Output
from pdadmm_bench.gate import baseline as files
from pdadmm_bench.gate import measure as gate
from pdadmm_bench.gate.checkout import HEAD
from pdadmm_bench.gate.evidence import Benchmark
from pdadmm_bench.report.tables.baseline import BaselineEntry, baseline_table


def record_baseline(name: str, folder: Path, timed: bool, output: Output) -> None:
    """Run the suite and write its baseline; raises :class:`UserError` when a run fails."""
    suite = gate.load(name)
    path = files.path_of(folder, gate.this_class(), suite.name)
    check_writable(path)
    tell = gate.teller(output)
    tell(f"machine class: {gate.this_class()}")
    (found,) = gate.collect(suite, [HEAD], output, tell)
    gate.check_finished(found)
    if timed:
        for benchmark, seconds in gate.record_times(suite, HEAD, output, tell).items():
            found[benchmark].seconds = seconds
    files.write(path, files.new(suite.name, gate.this_class(), environment(), found.values()))
    runs = sum(len(benchmark.runs) for benchmark in found.values())
    typer.echo(f"{path}: {len(found)} benchmarks, {runs} runs, {'with' if timed else 'no'} times")


def list_baselines(folder: Path) -> None:
    """A line per file, this machine's marked."""
    typer.echo(f"machine class: {gate.this_class()}")
    paths = sorted(folder.glob("*/*.json"))
    if not paths:
        typer.echo(f"no baseline in {folder}; pdadmm-bench baseline record makes one")
    for path in paths:
        found = files.read(path)
        own = " (this machine's class)" if found.machine_class == gate.this_class() else ""
        typer.echo(f"{path}: {len(found.benchmarks)} benchmarks, recorded {found.recorded}{own}")


def show_baseline(name: str, folder: Path) -> None:
    """The benchmarks of the baseline that ``regress`` would take here."""
    from pdadmm_bench.cli.views import console

    stem = Path(name).name.removesuffix(".toml")
    path = files.find(folder, gate.this_class(), stem)
    if path is None:
        raise UserError(f"no baseline of {stem} in {folder}; pdadmm-bench baseline record --suite {name} makes one")
    found = files.read(path)
    env = found.environment
    typer.echo(f"{path}, recorded {found.recorded} at commit {str(env.get('env_commit'))[:10]}")
    typer.echo(
        f"machine class: {found.machine_class}" + ("" if found.machine_class == gate.this_class() else " (another one)")
    )
    console.show(baseline_table(map(_entry, found.benchmarks.values())))


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
