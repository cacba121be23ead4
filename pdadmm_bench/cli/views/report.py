"""What ``report`` prints and writes: tables, pictures, a page, and what could not be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from pdadmm_bench.cli.sources import SourceRows, read_sources
from pdadmm_bench.cli.views.console import show
from pdadmm_bench.core.errors import TrackingError
from pdadmm_bench.core.files import check_writable
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.assemble import assemble, pictures
from pdadmm_bench.report.figures.picture import Picture
from pdadmm_bench.report.formats import PICTURES
from pdadmm_bench.report.write import formats_of, write_report
from pdadmm_bench.tracking.report import log_files, parents


@dataclass(frozen=True)
class ReportOptions:
    """What the user asked for."""

    sources: list[str]
    formats: list[str]
    out: Path
    reference: str | None
    published: bool
    tracking_uri: str | None


def run_report(options: ReportOptions) -> None:
    """Make the report.

    Raises :class:`UserError` for unknown formats and sources, and for a folder that cannot be written.
    """
    formats = formats_of(options.formats)
    files = [name for name in formats if name != "terminal"]
    found = read_sources(options.sources, options.tracking_uri)
    if files:
        check_writable(options.out / "report.md")  # makes the folder, so after what refuses the sources
    draws = bool({"html", *PICTURES} & set(files))
    histories = found.histories(stores=draws)
    report = assemble(found.rows, found.scale, options.reference, options.published, histories=histories)
    drawn: dict[str, Picture] = {}
    missing = list(report.missing)
    if draws:
        drawn = pictures(found.rows, histories, report.points)
        missing += _without_history(found.rows, histories)
    if "terminal" in formats:
        show(*report.tables)
    title = ", ".join(options.sources)
    written = list(write_report(options.out, files, title, found.rows, report, drawn, missing))
    for line in (*found.remarks, *missing):
        typer.echo(line)
    for path in written:
        typer.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)" if path.suffix == ".html" else str(path))
    if written and found.tracked:
        _log(found, written)


def _without_history(rows: Sequence[Row], histories: Mapping[str, Any]) -> list[str]:
    without = sum(row.get("run_id") not in histories for row in rows if row["status"] != "skipped")
    if not without:
        return []
    return [
        f"no convergence curves of {without} of {len(rows)} runs: their steps are neither beside the rows nor in an "
        "MLflow store that was found; name the store with --tracking-uri"
    ]


def _log(found: SourceRows, written: Sequence[Path]) -> None:
    """Put the files beside the artifacts of the one parent run of all rows, if its store has that run."""
    homes = {(uri, parent) for uri, rows in found.stores.items() for parent in parents(rows)}
    if len(homes) == 1:
        ((uri, parent),) = homes
        try:
            if log_files(parent, written, uri):
                typer.echo(f"logged to the MLflow run {parent}, folder report")
        except TrackingError as error:
            typer.echo(f"not logged to MLflow: {error}")
    elif homes:
        typer.echo(f"not logged to MLflow: the rows have {len(homes)} parent runs, not one; give a parent run's id")
