"""What ``regress`` and ``baseline`` do: choose the base, have both sides measured, and show what was judged."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from pdadmm_bench.cli import gate
from pdadmm_bench.cli.gate import GateSuite
from pdadmm_bench.cli.gate_sides import HEAD, CannotCompare, revision
from pdadmm_bench.cli.options import Output
from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import check_writable, write_atomic
from pdadmm_bench.dist.group import launched
from pdadmm_bench.regress import baseline as files
from pdadmm_bench.regress import summary
from pdadmm_bench.regress.baseline import Baseline
from pdadmm_bench.regress.calibration import CAUGHT, of_accuracies, of_times
from pdadmm_bench.regress.evidence import Benchmark, in_full
from pdadmm_bench.regress.judge import Circumstances, Line, Report, judge
from pdadmm_bench.regress.machine import machine_class
from pdadmm_bench.regress.thresholds import Thresholds
from pdadmm_bench.track import view_command

QUICK_SEEDS = 3
PLANTED_POINTS = 1.0
CALIBRATION_ROUNDS = 6
COLOURS = {"worse": "red", "better": "green", "not comparable": "yellow", "missing": "yellow", "new": "cyan"}


@dataclass(frozen=True)
class Question:
    """The options of ``regress`` that are not those of ``run``."""

    suite: str
    against: str | None
    quick: bool
    baselines: Path
    markdown: Path | None = None
    junit: Path | None = None


def answer(question: Question, output: Output) -> int:
    """Judge this code; returns the exit code. Raises :class:`UserError` (exit code 2) where nothing can be judged."""
    suite = _load(question.suite, QUICK_SEEDS if question.quick else None)
    _check_files(question, output)
    tell = _teller(output)
    tell(f"machine class: {_class()}")
    if question.against:
        with _tracked(question, output) as record:
            report = _against_revision(question, question.against, suite, output, tell)
            record(report)
    else:
        path = files.find(question.baselines, _class(), suite.name)
        if path is None:
            report = _without_baseline(question, suite)
        else:
            found = files.read(path)
            with _tracked(question, output) as record:
                report = _against_baseline(question, found, path, suite, output, tell)
                record(report)
    report.facts = {"machine_class": _class(), **environment()}
    _show(report)
    _write(report, question, output)
    return report.exit_code


def _against_revision(question: Question, name: str, suite: GateSuite, output: Output, tell: gate.Tell) -> Report:
    with revision(name, suite.packages(), Path.cwd()) as base:
        sides = gate.collect(suite, [base, HEAD], output, tell)
        pairs = {} if question.quick else gate.time_in_turn(suite, base, output, tell, _comparable(suite, sides))
    lines = _judged(suite, sides[0], sides[1], Circumstances(True, together=True, pairs=pairs))
    notes = ["times were not measured (--quick)"] if question.quick else _too_wide(suite, lines)
    return Report(suite.name, f"{base.name}, measured in turn on {_class()}", lines, notes)


def _comparable(suite: GateSuite, sides: list[dict[str, Benchmark]]) -> list[str]:
    """The timed benchmarks that both sides can run."""
    return [
        name for name in suite.timed if all(any(run.finished for run in side[name].runs.values()) for side in sides)
    ]


def _against_baseline(
    question: Question, base: Baseline, path: Path, suite: GateSuite, output: Output, tell: gate.Tell
) -> Report:
    same = base.machine_class == _class()
    (head,) = gate.collect(suite, [HEAD], output, tell)
    if same and base.timed and not question.quick:
        for name, seconds in gate.record_times(suite, HEAD, output, tell).items():
            head[name].seconds = seconds
    if not same:
        note = f"times and peak memory refused: recorded on another machine class, {base.machine_class}"
    elif question.quick:
        note = "times were not measured (--quick)"
    elif not base.timed:
        note = "no times: the baseline has none"
    else:
        note = (
            "times are against seconds of another day, so only large changes count; --against REV measures both in turn"
        )
    lines = _judged(suite, base.benchmarks, head, Circumstances(same_machine=same))
    notes = [note]
    torch = (base.environment.get("env_torch"), environment()["env_torch"])
    if torch[0] != torch[1]:
        notes.append(f"the baseline is of torch {torch[0]}, this is torch {torch[1]}: loss curves may differ for that")
    return Report(suite.name, f"{path}, recorded {base.recorded}", lines, notes)


def _without_baseline(question: Question, suite: GateSuite) -> Report:
    path = files.path_of(question.baselines, _class(), suite.name)
    lines = [Line(name, "new", reason="no baseline yet") for name in suite.runs]
    note = f"no baseline yet, so this passes and nothing was run: pdadmm-bench baseline record --suite {question.suite}"
    return Report(suite.name, f"{path}, which is not there", lines, [note])


def _judged(
    suite: GateSuite, base: dict[str, Benchmark], head: dict[str, Benchmark], circumstances: Circumstances
) -> list[Line]:
    return judge(base, head, lambda setting: suite.gate.of(in_full(setting)), circumstances)


def _too_wide(suite: GateSuite, lines: list[Line]) -> list[str]:
    """A note for times that the machine was too busy to tell: they pass, and nobody should think they were seen."""
    wide = [
        line.name
        for line in lines
        if (time := line.finding("time")) and time.outcome == "ok" and (time.high or 0) > 2 * (time.threshold or 0)
    ]
    if not wide:
        return []
    return [f"too noisy to rule out a slowdown of twice the threshold: {', '.join(wide)}; a quieter machine can tell"]


def record_baseline(name: str, folder: Path, timed: bool, output: Output) -> None:
    """Run the suite and write its baseline; raises :class:`UserError` when a run fails."""
    suite = _load(name, None)
    path = files.path_of(folder, _class(), suite.name)
    check_writable(path)
    tell = _teller(output)
    tell(f"machine class: {_class()}")
    (found,) = gate.collect(suite, [HEAD], output, tell)
    gate.check_finished(found)
    if timed:
        for benchmark, seconds in gate.record_times(suite, HEAD, output, tell).items():
            found[benchmark].seconds = seconds
    files.write(path, files.new(suite.name, _class(), environment(), found.values()))
    runs = sum(len(benchmark.runs) for benchmark in found.values())
    typer.echo(f"{path}: {len(found)} benchmarks, {runs} runs, {'with' if timed else 'no'} times")


def list_baselines(folder: Path) -> None:
    """A line per file, this machine's marked."""
    typer.echo(f"machine class: {_class()}")
    paths = sorted(folder.glob("*/*.json"))
    if not paths:
        typer.echo(f"no baseline in {folder}; pdadmm-bench baseline record makes one")
    for path in paths:
        found = files.read(path)
        own = " (this machine's class)" if found.machine_class == _class() else ""
        typer.echo(f"{path}: {len(found.benchmarks)} benchmarks, recorded {found.recorded}{own}")


def show_baseline(name: str, folder: Path) -> None:
    """The benchmarks of the baseline that ``regress`` would take here."""
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    from pdadmm_bench.cli import console

    stem = Path(name).name.removesuffix(".toml")
    path = files.find(folder, _class(), stem)
    if path is None:
        raise UserError(f"no baseline of {stem} in {folder}; pdadmm-bench baseline record --suite {name} makes one")
    found = files.read(path)
    env = found.environment
    typer.echo(f"{path}, recorded {found.recorded} at commit {str(env.get('env_commit'))[:10]}")
    typer.echo(f"machine class: {found.machine_class}" + ("" if found.machine_class == _class() else " (another one)"))
    table = Table()
    for heading in ("benchmark", "version", "seeds", "test accuracy", "last loss", "bytes", "state", "ms/iteration"):
        table.add_column(heading, justify="left" if heading in ("benchmark", "version") else "right")
    for benchmark in found.benchmarks.values():
        runs = list(benchmark.runs.values())
        accuracies = [acc for run in runs if (acc := run.row.get("acc_test_at_best_val")) is not None]
        losses = [run.curve[-1][1] for run in runs if run.curve]
        first = runs[0].row
        cells = [
            benchmark.name, benchmark.version, str(len(runs)),
            f"{100 * np.mean(accuracies):.1f} %" if accuracies else "–",
            f"{np.mean(losses):.3g}" if losses else "–",
            f"{first.get('dist_sent_bytes') or 0:,}", f"{first.get('memory_state_bytes') or 0:,}",
            f"{1000 * np.median(benchmark.seconds):.3g}" if benchmark.seconds else "–",
        ]  # fmt: skip
        table.add_row(*map(Text, cells))
    console.stdout().print(table)


def calibrated(question: Question, comparisons: int, output: Output) -> int:
    """Run the gate against this very code until there are that many comparisons of times, and say how often it errs."""
    if question.against or question.quick:
        raise UserError("--calibrate compares this code with itself: leave out --against and --quick")
    suite = _load(question.suite, None)
    if not suite.timed:
        raise UserError(f"{question.suite} has no benchmark whose time is measured")
    _check_files(question, output)
    tell = _teller(output)
    tell(f"machine class: {_class()}")
    (head,) = gate.collect(suite, [HEAD], output, tell)
    gate.check_finished(head)
    found: list[dict[str, Any]] = []
    try:
        while len(found) < comparisons:
            tell(f"{len(found)} of {comparisons} comparisons")
            # More than a null comparison takes: a slowdown that is planted afterwards may need them.
            pairs = gate.time_in_turn(suite, HEAD, output, tell, rounds=CALIBRATION_ROUNDS)
            found += [{"benchmark": name, "pairs": values} for name, values in pairs.items()]
            if output.json_file:
                write_atomic(output.json_file, json.dumps(found) + "\n")
    except KeyboardInterrupt:
        tell("stopped: what was measured so far is judged")
        if not found:
            raise
    _report_calibration(suite, head, found)
    return 0


def _report_calibration(suite: GateSuite, head: dict[str, Benchmark], found: list[dict[str, Any]]) -> None:
    def limits(name: str) -> Thresholds:
        return suite.gate.of(suite.runs[name][0])

    comparisons = [(item["pairs"], limits(item["benchmark"])) for item in found]
    times = of_times(comparisons, least=gate.ROUNDS * gate.PAIRS, step=gate.PAIRS)
    typer.echo(f"machine class: {_class()}")
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
    several = [(list(b.runs.values()), limits(b.name)) for b in head.values() if len(b.runs) > 1]
    if several:
        nodes = int(next(iter(suite.runs.values()))[0]["num_test"])
        found_accuracies = of_accuracies(several, nodes, max(200, len(found)), PLANTED_POINTS)
        typer.echo(
            f"accuracies, simulated on these runs with {nodes} test nodes: "
            f"{found_accuracies.false_alarms} of {found_accuracies.comparisons} null comparisons called worse; "
            f"a loss of {PLANTED_POINTS:g} point caught in {_percent(found_accuracies.caught)}"
        )


def _show(report: Report) -> None:
    typer.echo(f"base: {report.base}")
    for note in report.notes:
        typer.echo(f"note: {note}")
    width = max((len(line.name) for line in report.lines), default=0)
    for line in report.lines:
        verdict = typer.style(f"{line.verdict:14}", fg=COLOURS.get(line.verdict), bold=line.verdict == "worse")
        typer.echo(f"{verdict} {line.name:{width}}  {summary.what(line)}".rstrip())
    typer.echo(summary.totals(report))


def _write(report: Report, question: Question, output: Output) -> None:
    if question.markdown:
        write_atomic(question.markdown, summary.markdown(report))
    if question.junit:
        write_atomic(question.junit, summary.junit(report))
    if output.json_file:
        write_atomic(output.json_file, json.dumps(summary.rows(report), indent=1, ensure_ascii=False) + "\n")


def _check_files(question: Question, output: Output) -> None:
    for path in (question.markdown, question.junit, output.json_file):
        if path:
            check_writable(path)


@contextlib.contextmanager
def _tracked(question: Question, output: Output) -> Iterator[Any]:
    """A function that is given the report, which becomes an MLflow run; ``--quick`` tracks nothing."""
    if question.quick:
        yield lambda report: None
        return
    from pdadmm_bench.track.gate import GateTracker

    config = {key: str(value) for key, value in asdict(question).items() if value is not None}
    name = f"regress {Path(question.suite).name.removesuffix('.toml')}"
    tracker = GateTracker.open(output.tracking_uri, output.experiment, name, config, environment())
    assert isinstance(tracker, GateTracker)

    def record(report: Report) -> None:
        tracker.rows, tracker.summary = summary.rows(report), summary.markdown(report)
        tracker.exit_code = report.exit_code

    with tracker:
        yield record
    if not output.quiet:
        typer.echo(f"verdicts are in MLflow: {view_command(output.tracking_uri)}", err=True)


def _load(name: str, seeds: int | None) -> GateSuite:
    if launched():
        raise CannotCompare("the gate starts the workers of its runs itself: call it without torchrun")
    return gate.load(name, seeds)


def _class() -> str:
    import torch  # noqa: F401  (with it, the environment knows of accelerators)

    return machine_class(environment())


def _teller(output: Output) -> gate.Tell:
    return (lambda text: None) if output.quiet else (lambda text: typer.echo(text, err=True))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
