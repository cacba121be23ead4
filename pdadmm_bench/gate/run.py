"""What ``regress`` does: choose the base, have both sides measured, judge, and show what was judged."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable, write_atomic
from pdadmm_bench.core.options import Output
from pdadmm_bench.gate import baseline as files
from pdadmm_bench.gate import checks, summary
from pdadmm_bench.gate import measure as gate
from pdadmm_bench.gate.baseline import Baseline
from pdadmm_bench.gate.checkout import HEAD, CannotCompare, Checkout, revision
from pdadmm_bench.gate.evidence import Benchmark, in_full
from pdadmm_bench.gate.judge import Circumstances, Line, Report, judge
from pdadmm_bench.gate.measure import GateSuite
from pdadmm_bench.tracking import view_command

QUICK_SEEDS = 3
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
    """Judge this code; returns the exit code. Raises :class:`UserError` (exit code 2) where nothing can be judged.

    Also where this program fails: exit code 1 is only for what got worse.
    """
    try:
        return _answer(question, output)
    except UserError:
        raise
    except Exception as error:
        raise CannotCompare(f"{type(error).__name__}: {error} (not expected; --debug shows where)") from error


def _answer(question: Question, output: Output) -> int:
    suite = gate.load(question.suite, QUICK_SEEDS if question.quick else None)
    _check_files(question, output)
    tell = gate.teller(output)
    tell(f"machine class: {gate.this_class()}")
    if question.against:
        with _tracked(question, output) as record:
            report = _against_revision(question, question.against, suite, output, tell)
            record(report)
    else:
        path = files.find(question.baselines, gate.this_class(), suite.name)
        if path is None:
            report = _without_baseline(question, suite)
        else:
            found = files.read(path)
            with _tracked(question, output) as record:
                report = _against_baseline(question, found, path, suite, output, tell)
                record(report)
    report.facts = {"machine_class": gate.this_class(), **environment()}
    _show(report)
    _write(report, question, output)
    return report.exit_code


def _against_revision(question: Question, name: str, suite: GateSuite, output: Output, tell: gate.Tell) -> Report:
    with revision(name, suite.packages(), Path.cwd()) as base:
        sides = gate.collect(suite, [base, HEAD], output, tell)
        pairs = {} if question.quick else _times(suite, base, sides, output, tell)
    lines = _judged(suite, sides[0], sides[1], Circumstances(True, together=True, pairs=pairs))
    notes = ["times were not measured (--quick)"] if question.quick else _too_wide(suite, lines)
    return Report(suite.name, f"{base.name}, measured in turn on {gate.this_class()}", lines, notes)


def _times(
    suite: GateSuite, base: Checkout, sides: list[dict[str, Benchmark]], output: Output, tell: gate.Tell
) -> gate.Pairs:
    """Of the timed benchmarks that both sides can run."""
    names = [
        name for name in suite.timed if all(any(run.finished for run in side[name].runs.values()) for side in sides)
    ]
    return gate.time_in_turn(suite, base, output, tell, names, checks.decided)


def _against_baseline(
    question: Question, base: Baseline, path: Path, suite: GateSuite, output: Output, tell: gate.Tell
) -> Report:
    same = base.machine_class == gate.this_class()
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
    path = files.path_of(question.baselines, gate.this_class(), suite.name)
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
    from pdadmm_bench.tracking.gate import GateTracker

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
