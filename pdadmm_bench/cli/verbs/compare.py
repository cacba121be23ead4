"""``pdadmm-bench compare``: paired differences between two sets of runs, with a verdict per line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.cli import complete


def compare(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="rows file, MLflow run id, or experiment: the reference", autocompletion=complete.sources
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(metavar="B", help="the same, of what the verdicts speak about", autocompletion=complete.sources),
    ],
    only_a: Annotated[
        list[str] | None, typer.Option("--a", help="only these rows of A, as in optimizer=pdadmm; repeatable")
    ] = None,
    only_b: Annotated[
        list[str] | None, typer.Option("--b", help="only these rows of B, as in optimizer=adam; repeatable")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="column of the rows; repeatable [default: test accuracy, iteration time, time to a target]"),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="settings that make a line, as in dataset,layers [default: all but the seeds]")
    ] = None,
    smallest_points: Annotated[float, typer.Option(min=0, max=100, help="accuracy differences up to here are none")] = (
        0.5
    ),
    smallest_percent: Annotated[
        float, typer.Option(min=0, help="differences of times and sizes up to here are none")
    ] = (2.0),
    apart: Annotated[
        bool, typer.Option("--apart", help="judge times although A and B were not measured in turn: a quiet machine's")
    ] = False,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow store; else MLFLOW_TRACKING_URI, else mlflow.db")] = (
        None
    ),
    json_file: Annotated[Path | None, typer.Option("--json", help="write the table to this file")] = None,
) -> None:
    """Compare runs over the same problems and seeds: B against A.

    A line says better, faster and the like only if the 95 % interval excludes the value of no difference, a sign-flip
    test corrected for the number of lines (Holm) rejects at 5 %, and the difference is larger than --smallest-points or
    --smallest-percent; of times, only if A and B were measured in turn. Exit code 0, whatever the verdicts.
    """
    run_compare(
        CompareOptions(
            a, b, only_a or [], only_b or [], metric or [], by, smallest_points / 100, smallest_percent / 100, apart
        ),
        tracking_uri,
        json_file,
    )


@dataclass(frozen=True)
class CompareOptions:
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


def run_compare(options: CompareOptions, tracking_uri: str | None, json_file: Path | None) -> None:
    """Print the comparison and write it to ``json_file``, if given; raises :class:`UserError` for bad input."""
    from pdadmm_bench.cli.sources import read_source
    from pdadmm_bench.cli.views.console import show
    from pdadmm_bench.core.errors import UserError
    from pdadmm_bench.core.files import check_writable, write_atomic
    from pdadmm_bench.core.names import setting_word
    from pdadmm_bench.report.tables.comparison import comparison_tables, count, decision_rule, remarks
    from pdadmm_bench.stats.comparison import compare_rows, values_for_json
    from pdadmm_bench.stats.metrics import metrics_for
    from pdadmm_bench.stats.pairing import rows_with, setting_name

    smallest = (options.smallest_difference, options.smallest_factor)
    if options.by and not all(name.strip() for name in options.by.split(",")):
        raise UserError(f"--by {options.by!r}: give settings with commas between, such as dataset,layers")
    if options.metrics:
        metrics_for(options.metrics, [], *smallest)  # refused before anything is read
    if json_file:
        check_writable(json_file)
    sources = [read_source(name, tracking_uri) for name in (options.a, options.b)]
    chosen = (options.only_a, options.only_b)
    a, b = (rows_with(source.rows, texts, source.name) for source, texts in zip(sources, chosen, strict=True))
    by = [setting_name(name.strip(), [*a, *b]) for name in options.by.split(",")] if options.by else None
    sides = compare_rows(a, b, metrics_for(options.metrics, [*a, *b], *smallest), by, apart=options.apart)
    if json_file:
        whole = {"question": asdict(options), **values_for_json(sides)}
        write_atomic(json_file, json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    for letter, source, kept in zip("AB", sources, (a, b), strict=True):
        unfinished = f", {len(source.without_row)} more without a result row" if source.without_row else ""
        typer.echo(f"{letter}  {source.name}: {count(len(kept), 'row')}{unfinished}")
    for name, changes in sides.compared.items():
        typer.echo(f"compared: {setting_word(name)} {', '.join(changes)}")
    if sides.lines:
        show(*comparison_tables(sides))
        typer.echo(decision_rule(sides, *smallest, options.apart))
    else:
        typer.echo("nothing to compare: no run of A and run of B have the same problem, network and seed")
    for line in remarks(sides):
        typer.echo(line)
