"""Judges this code: chooses the base, has both sides measured, and compares them benchmark by benchmark."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable, write_atomic
from pdadmm_bench.core.options import Output
from pdadmm_bench.gate import baseline as files
from pdadmm_bench.gate import checks, measure, summary
from pdadmm_bench.gate.baseline import Baseline
from pdadmm_bench.gate.checkout import HEAD, CannotCompare, Checkout, revision
from pdadmm_bench.gate.evidence import Benchmark, in_full
from pdadmm_bench.gate.judge import BenchmarkVerdict, Comparability, GateReport, judge
from pdadmm_bench.gate.measure import GateSuite
from pdadmm_bench.tracking import view_command

QUICK_SEEDS = 3
"""The most seeds of a benchmark with ``--quick``."""


@dataclass(frozen=True)
class RegressOptions:
    """The options of ``regress`` that are not those of ``run``."""

    suite: str
    against: str | None
    quick: bool
    baselines: Path
    markdown: Path | None = None
    junit: Path | None = None


def run_regress(options: RegressOptions, output: Output, tell: measure.Tell, show: Callable[[GateReport], None]) -> int:
    """Judge this code, show the report and write it to the files asked for; returns the exit code.

    0: nothing got worse. 1: something did. 2: something could not be compared.

    Args:
        tell: receives messages about what is being done.
        show: shows the report.

    Raises :class:`UserError` (exit code 2) where nothing can be judged. That includes a defect of this program, because
    exit code 1 is only for what got worse.
    """
    try:
        report = _report(options, output, tell)
        show(report)
        _write(report, options, output)
    except UserError:
        raise
    except Exception as error:
        raise CannotCompare(f"{type(error).__name__}: {error} (not expected; --debug shows where)") from error
    return report.exit_code


def _report(options: RegressOptions, output: Output, tell: measure.Tell) -> GateReport:
    suite = measure.load(options.suite, QUICK_SEEDS if options.quick else None)
    for path in (options.markdown, options.junit, output.json_file):
        if path:
            check_writable(path)
    tell(f"machine class: {measure.this_class()}")
    if options.against:
        # A revision that cannot be had is refused before a run in MLflow begins.
        with (
            revision(options.against, suite.packages(), Path.cwd()) as side,
            _tracked(options, output, tell) as record,
        ):
            return record(_against_revision(options, side, suite, output, tell))
    path = files.find(options.baselines, measure.this_class(), suite.name)
    if path is None:
        return _without_baseline(options, suite)
    base = files.read(path)
    with _tracked(options, output, tell) as record:
        return record(_against_baseline(options, base, path, suite, output, tell))


def _against_revision(
    options: RegressOptions, base: Checkout, suite: GateSuite, output: Output, tell: measure.Tell
) -> GateReport:
    sides = measure.collect(suite, [base, HEAD], output, tell)
    pairs = {} if options.quick else _times(suite, base, sides, output, tell)
    verdicts = _judged(suite, sides[0], sides[1], Comparability(True, together=True, pairs=pairs))
    notes = ["times were not measured (--quick)"] if options.quick else _too_wide(verdicts)
    return GateReport(suite.name, f"{base.name}, measured in turn on {measure.this_class()}", verdicts, notes)


def _times(
    suite: GateSuite, base: Checkout, sides: list[dict[str, Benchmark]], output: Output, tell: measure.Tell
) -> measure.TimedPairs:
    """Seconds of those timed benchmarks that both sides can run."""
    names = [
        name for name in suite.timed if all(any(run.finished for run in side[name].runs.values()) for side in sides)
    ]
    return measure.time_in_turn(suite, base, output, tell, names, checks.decided)


def _against_baseline(
    options: RegressOptions, base: Baseline, path: Path, suite: GateSuite, output: Output, tell: measure.Tell
) -> GateReport:
    same = base.machine_class == measure.this_class()
    (head,) = measure.collect(suite, [HEAD], output, tell)
    if same and base.timed and not options.quick:
        for name, seconds in measure.record_times(suite, HEAD, output, tell).items():
            head[name].seconds = seconds
    if not same:
        note = f"times and peak memory refused: recorded on another machine class, {base.machine_class}"
    elif options.quick:
        note = "times were not measured (--quick)"
    elif not base.timed:
        note = "no times: the baseline has none"
    else:
        note = (
            "times are against seconds of another day, so only large changes count; --against REV measures both in turn"
        )
    verdicts = _judged(suite, base.benchmarks, head, Comparability(same_machine=same))
    notes = [note]
    torch = (base.environment.get("env_torch"), environment()["env_torch"])
    if torch[0] != torch[1]:
        notes.append(f"the baseline is of torch {torch[0]}, this is torch {torch[1]}: loss curves may differ for that")
    return GateReport(suite.name, f"{path}, recorded {base.recorded}", verdicts, notes)


def _without_baseline(options: RegressOptions, suite: GateSuite) -> GateReport:
    path = files.path_of(options.baselines, measure.this_class(), suite.name)
    verdicts = [BenchmarkVerdict(name, "new", reason="no baseline yet") for name in suite.runs]
    note = f"no baseline yet, so this passes and nothing was run: pdadmm-bench baseline record --suite {options.suite}"
    return GateReport(suite.name, f"{path}, which is not there", verdicts, [note])


def _judged(
    suite: GateSuite, base: dict[str, Benchmark], head: dict[str, Benchmark], comparability: Comparability
) -> list[BenchmarkVerdict]:
    return judge(base, head, lambda setting: suite.gate.of(in_full(setting)), comparability)


def _too_wide(verdicts: list[BenchmarkVerdict]) -> list[str]:
    """A note about benchmarks whose times are too noisy to show a slowdown, which would then pass unseen."""
    wide = [
        verdict.name
        for verdict in verdicts
        if (time := verdict.finding("time")) and time.outcome == "ok" and (time.high or 0) > 2 * (time.threshold or 0)
    ]
    if not wide:
        return []
    return [f"too noisy to rule out a slowdown of twice the threshold: {', '.join(wide)}; a quieter machine can tell"]


def _write(report: GateReport, options: RegressOptions, output: Output) -> None:
    if options.markdown:
        write_atomic(options.markdown, summary.markdown(report))
    if options.junit:
        write_atomic(options.junit, summary.junit(report))
    if output.json_file:
        write_atomic(output.json_file, json.dumps(summary.rows(report), indent=1, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _tracked(
    options: RegressOptions, output: Output, tell: measure.Tell
) -> Iterator[Callable[[GateReport], GateReport]]:
    """A function that records a report as an MLflow run and returns the report; ``--quick`` tracks nothing."""
    if options.quick:
        yield lambda report: report
        return
    from pdadmm_bench.tracking.gate import GateTracker

    config = {key: str(value) for key, value in asdict(options).items() if value is not None}
    name = f"regress {Path(options.suite).name.removesuffix('.toml')}"
    tracker = GateTracker.open(output.tracking_uri, output.experiment, name, config, environment())
    assert isinstance(tracker, GateTracker)

    def record(report: GateReport) -> GateReport:
        tracker.rows, tracker.summary = summary.rows(report), summary.markdown(report)
        tracker.exit_code = report.exit_code
        return report

    with tracker:
        yield record
    tell(f"verdicts are in MLflow: {view_command(output.tracking_uri)}")
