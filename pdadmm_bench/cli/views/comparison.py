"""What ``compare`` prints: the table, what differs, and what could not be compared."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.filesize import decimal
from rich.table import Table as RichTable
from rich.text import Text

from pdadmm_bench.cli.views.console import stdout
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable, write_atomic
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.units import seconds
from pdadmm_bench.stats.estimate import Estimate
from pdadmm_bench.stats.metrics import DEFAULT, TARGET, WORDS, Metric, present
from pdadmm_bench.stats.metrics import metric as metric_of
from pdadmm_bench.stats.paired import ALPHA, Comparison, least_pairs
from pdadmm_bench.stats.pairing import repetition, setting_name, settings
from pdadmm_bench.stats.table import Line, Table, compare_rows
from pdadmm_bench.tracking.read import Source, read_source


@dataclass(frozen=True)
class Question:
    """What is compared with what; the smallest effects are fractions of 1."""

    a: str
    b: str
    only_a: list[str]
    only_b: list[str]
    metrics: list[str]
    by: str | None
    smallest_difference: float
    smallest_factor: float
    apart: bool


def answer(question: Question, tracking_uri: str | None, json_file: Path | None) -> None:
    """Print the comparison and write it to ``json_file``, if given; raises :class:`UserError` for bad input."""
    metrics = [_metric(question, name) for name in dict.fromkeys(question.metrics)]
    if json_file:
        check_writable(json_file)
    sides = [read_source(name, tracking_uri) for name in (question.a, question.b)]
    a, b = (_only(side, texts) for side, texts in zip(sides, (question.only_a, question.only_b), strict=True))
    names = [name.strip() for name in question.by.split(",")] if question.by else None
    by = [setting_name(name, [*a, *b]) for name in names] if names else None
    table = compare_rows(
        a, b, metrics or [_metric(question, name) for name in _default([*a, *b])], by, apart=question.apart
    )
    if json_file:
        write_atomic(json_file, _json(question, table))
    _show(question, sides, (a, b), table)


def _metric(question: Question, name: str) -> Metric:
    return metric_of(name, question.smallest_difference, question.smallest_factor)


def _default(rows: list[Row]) -> list[str]:
    return [*DEFAULT, *([TARGET] if present(TARGET, rows) else [])]


def _only(source: Source, texts: Sequence[str]) -> list[Row]:
    """The rows with the settings that ``texts`` (``name=value``) name."""
    rows = source.rows
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise UserError(f"{text!r}: give name=value, such as optimizer=pdadmm")
        name = setting_name(name, source.rows)
        kept = [row for row in rows if _setting(row, name) == value]
        if not kept:
            there = ", ".join(sorted({_setting(row, name) for row in rows}))
            raise UserError(f"{source.name} has no row with {name}={value}; it has {there}")
        rows = kept
    return rows


def _setting(row: Row, name: str) -> str:
    values = settings(row) | dict(zip(("split_seed", "seed"), repetition(row), strict=True))
    return str(values.get(name))


def _show(question: Question, sides: Sequence[Source], rows: Sequence[list[Row]], table: Table) -> None:
    for letter, side, kept in zip("AB", sides, rows, strict=True):
        unfinished = f", {len(side.without_row)} more without a result row" if side.without_row else ""
        typer.echo(f"{letter}  {side.name}: {_count(len(kept), 'row')}{unfinished}")
    for name, changes in table.compared.items():
        typer.echo(f"compared: {name} {', '.join(changes)}")
    if table.lines:
        for part in _tables(table.lines):
            stdout().print(part)
        typer.echo(_rule(question, table))
    else:
        typer.echo("nothing to compare: no run of A and run of B have the same problem, network and seed")
    for line in table.lines:
        for reason, count in line.left_out.items():
            typer.echo(
                f"left out of {line.comparison.metric.name}{_where(table, line)}: {_count(count, 'pair')}: {reason}"
            )
    for letter, unpaired in (("A", table.unpaired_a), ("B", table.unpaired_b)):
        for reason, count in unpaired.items():
            typer.echo(f"without a partner: {_count(count, 'row')} of {letter}: {reason}")
    for name, changes in table.circumstances.items():
        typer.echo(f"also differs: {name} {_few([_brief(change) for change in changes])}")


def _rule(question: Question, table: Table) -> str:
    """What it takes for a verdict."""
    tests = sum(line.comparison.p_corrected is not None for line in table.lines)
    if not tests:
        return f"no line was tested: a test at {100 * ALPHA:g} % needs {least_pairs(ALPHA)} pairs"
    points, percent = 100 * question.smallest_difference, 100 * question.smallest_factor
    return (
        f"B is called better or worse where the interval leaves out no difference, p ≤ {ALPHA:g} (sign flips, Holm's "
        f"correction for {_count(tests, 'test')}), and the effect is larger than {points:g} points or {percent:g} %"
        + ("" if question.apart else "; times only where A and B were measured in turn")
    )


def _tables(lines: Sequence[Line]) -> Iterator[RichTable]:
    """A table for each metric."""
    for metric in dict.fromkeys(line.comparison.metric for line in lines):
        scale = "median of B / A" if metric.is_ratio else "mean of B − A, in points"
        table = RichTable(title=f"{metric.name}: {scale}", title_style="bold", title_justify="left")
        names = list(lines[0].setting)
        for heading in names:
            table.add_column(heading, overflow="fold")
        for heading in ("A", "B", "B / A" if metric.is_ratio else "B − A", "95 % interval", "pairs", "p (Holm)"):
            table.add_column(heading, justify="right")
        table.add_column("verdict")
        for line in lines:
            if line.comparison.metric == metric:
                style = {"better": "green", "worse": "red"}.get(line.comparison.verdict or "", "")
                *cells, verdict = _cells(line, names)
                table.add_row(*map(Text, cells), Text(verdict, style=style))
        yield table


def _cells(line: Line, names: Sequence[str]) -> list[str]:
    found = line.comparison
    effect, metric = found.effect, found.metric
    interval = effect.low is not None
    return [
        *("–" if line.setting[name] is None else str(line.setting[name]) for name in names),
        _side(found.a, metric, line.misses[0], found.pairs),
        _side(found.b, metric, line.misses[1], found.pairs),
        _effect(effect.value, metric),
        f"{_effect(effect.low, metric)} … {_effect(effect.high, metric)}" if interval else "–",
        str(found.pairs),
        "–" if found.p_corrected is None else f"{found.p_corrected:.2g}",
        verdict_words(found),
    ]


def verdict_words(found: Comparison) -> str:
    """The verdict as a table says it: ``B faster``, or the verdict and, where there is one, its reason."""
    better, worse = WORDS[found.metric.kind]
    if found.verdict in ("better", "worse"):
        return f"B {better if found.verdict == 'better' else worse}"
    return f"{found.verdict} ({found.reason})" if found.reason else str(found.verdict)


def _side(estimate: Estimate, metric: Metric, misses: int, pairs: int) -> str:
    value = _value(estimate.value, metric)
    return f"{value} ({pairs - misses} of {pairs} reached)" if metric.of_target and pairs else value


def _value(value: float | None, metric: Metric) -> str:
    if value is None:
        return "–"
    if math.isinf(value):
        return "never"
    if metric.kind == "accuracy":
        return f"{100 * value:.1f} %"
    if metric.kind == "bytes":
        return decimal(round(value))
    return seconds(value) if metric.kind == "time" else f"{value:.4g}"


def _effect(value: float | None, metric: Metric) -> str:
    if value is None:
        return "–"
    if not metric.is_ratio:
        return f"{100 * value:+.1f}".replace("-", "−")
    return "∞" if math.isinf(value) else f"{value:.3g}"


def _where(table: Table, line: Line) -> str:
    if len({str(other.setting) for other in table.lines}) == 1:
        return ""
    return " (" + ", ".join(str(value) for value in line.setting.values()) + ")"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _brief(change: str) -> str:
    """Hashes and commits by their first digits."""
    return re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30,}\b", r"\1", change)


def _few(changes: Sequence[str]) -> str:
    shown = ", ".join(changes[:3])
    return shown if len(changes) <= 3 else f"{shown} and {len(changes) - 3} more"


def _json(question: Question, table: Table) -> str:
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
        for line in table.lines
    ]
    whole = {
        "question": asdict(question),
        "alpha": ALPHA,
        "lines": lines,
        "compared": table.compared,
        "circumstances": table.circumstances,
        "unpaired_a": table.unpaired_a,
        "unpaired_b": table.unpaired_b,
    }
    return json.dumps(_finite(whole), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """``value`` for JSON, which has no infinity: what was never reached becomes null, and the misses are counted."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (dict, Counter)):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
