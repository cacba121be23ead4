"""What ``report`` does: reads the sources, makes the tables, writes or prints them, and says what could not be made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from pdadmm_bench.cli.views.console import stdout
from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.files import check_writable, write_atomic
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report import render
from pdadmm_bench.report.assemble import Report, assemble
from pdadmm_bench.report.pictures import Histories, Picture, pictures
from pdadmm_bench.suite.results import Results, default_folder, own_store, trial_folder
from pdadmm_bench.tracking.read import read_source
from pdadmm_bench.tracking.report import histories, log_files, parents

TEXTS = {"markdown": ".md", "csv": ".csv", "latex": ".tex"}
DRAWN = ("png", "svg")
FORMATS = ("terminal", *TEXTS, "html", *DRAWN)


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    sources: list[str]
    formats: list[str]
    out: Path
    reference: str | None
    published: bool


@dataclass
class Found:
    """What the sources have."""

    rows: list[Row] = field(default_factory=list)
    scale: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    stores: dict[str | None, list[Row]] = field(default_factory=dict)
    """Rows by the MLflow store that may have their steps; None is the one that every command uses."""
    tracked: bool = False
    """Whether a source is an experiment, a run or a suite, whose runs are in MLflow."""

    def add(self, rows: Sequence[Row], store: str | None) -> None:
        """Take in the rows of one source."""
        self.rows += rows
        self.stores.setdefault(store, []).extend(rows)


def answer(request: Request, tracking_uri: str | None) -> None:
    """Make the report; raises :class:`UserError` for formats and sources that are none, and an unwritable folder."""
    formats = _formats(request.formats)
    files = [name for name in formats if name != "terminal"]
    if files:
        check_writable(request.out / "report.md")
    found = read(request.sources, tracking_uri)
    report = assemble(found.rows, found.scale, request.reference, request.published)
    steps: Histories = {}
    drawn: dict[str, Picture] = {}
    missing = list(report.missing)
    if {"html", *DRAWN} & set(files):
        steps = {key: value for uri, rows in found.stores.items() for key, value in histories(rows, uri).items()}
        drawn = pictures(found.rows, steps, report.points)
        missing += _without_history(found.rows, steps)
    if "terminal" in formats:
        for table in report.tables:
            stdout().print(render.terminal(table))
    written = list(_write(request, files, found, report, drawn, missing))
    for line in (*found.remarks, *missing):
        typer.echo(line)
    for path in written:
        typer.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)" if path.suffix == ".html" else str(path))
    if written and found.tracked:
        _log(found, written)


def _formats(names: Sequence[str]) -> list[str]:
    asked = [part.strip() for name in names for part in name.split(",")]
    for name in asked:
        if name not in (*FORMATS, "all"):
            raise unknown("format", name, (*FORMATS, "all"))
    return list(FORMATS) if "all" in asked else [name for name in FORMATS if name in asked]


def read(sources: Sequence[str], tracking_uri: str | None) -> Found:
    """The rows of all sources, each run once; raises :class:`UserError` for a source that is none."""
    found = Found()
    for name in sources:
        path = Path(name)
        folder = next((each for each in (path, default_folder(name), trial_folder(name)) if each.is_dir()), None)
        if folder is not None:
            found.add(_folder(folder, found.remarks), tracking_uri or own_store(folder))
            found.tracked = True
        elif (scale := _scale_rows(path)) is not None:
            found.scale += scale
        else:
            source = read_source(name, tracking_uri)
            found.add(source.rows, tracking_uri)
            found.tracked |= not path.is_file()
            if source.without_row:
                found.remarks.append(
                    f"{name}: {len(source.without_row)} runs have no result row; they run still, or were killed"
                )
    once = {str(row.get("run_id")): row for row in found.rows}
    if len(once) < len(found.rows):
        found.remarks.append(f"{len(found.rows) - len(once)} rows were in several sources and count once")
    found.rows = list(once.values())
    return found


def _folder(folder: Path, remarks: list[str]) -> list[Row]:
    if (folder / "rows.json").is_file():
        return read_source(str(folder / "rows.json")).rows
    rows = Results(folder).every_row(remarks.append)
    if not rows:
        raise UserError(f"{folder} is no results folder of a suite: it has no rows.json and no row in runs/")
    remarks.append(
        f"{folder} has no rows.json, which a suite writes when it ends: all {len(rows)} rows of runs/ are used"
    )
    return rows


def _scale_rows(path: Path) -> list[dict[str, Any]] | None:
    """The rows that ``scale --json`` wrote to ``path``, None for anything else; raises for predictions."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # the reader of rows says what is wrong with it
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and "efficiency" in row for row in rows):
        return None
    if any(row.get("predicted") for row in rows):
        raise UserError(f"{path} was written by predict: a report has measured numbers only")
    return rows


def _write(
    request: Request, files: Sequence[str], found: Found, report: Report, drawn: Mapping[str, Picture],
    missing: Sequence[str],
) -> Iterator[Path]:  # fmt: skip
    for name in files:
        if name == "markdown":
            yield _text(request.out / "report.md", "\n".join(render.markdown(table) for table in report.tables))
        elif name in TEXTS:
            form = {"csv": render.comma_separated, "latex": render.latex}[name]
            for table in report.tables:
                yield _text(request.out / f"{table.name}{TEXTS[name]}", form(table))
        elif name == "html":
            from pdadmm_bench.report.page import page

            title = ", ".join(request.sources)
            yield _text(request.out / "report.html", page(title, found.rows, report, drawn, missing))
    kinds = [name for name in DRAWN if name in files]
    if kinds:
        from pdadmm_bench.report.figures.figure import figure

        for stem, picture in drawn.items():
            made = figure(picture)
            for kind in kinds:
                path = request.out / f"{stem}.{kind}"
                check_writable(path)
                made.savefig(path, metadata={"Date": None} if kind == "svg" else None)
                yield path


def _text(path: Path, text: str) -> Path:
    write_atomic(path, text)
    return path


def _without_history(rows: Sequence[Row], steps: Mapping[str, Any]) -> list[str]:
    without = sum(row.get("mlflow_run_id") not in steps for row in rows if row["status"] != "skipped")
    if not without:
        return []
    return [
        f"no convergence curves of {without} of {len(rows)} runs: their steps are in no MLflow store that was found "
        "(rows have none); name the store with --tracking-uri"
    ]


def _log(found: Found, written: Sequence[Path]) -> None:
    """Put the files beside the artifacts of the one parent run of all rows, if its store has it."""
    homes = {(uri, parent) for uri, rows in found.stores.items() for parent in parents(rows)}
    if len(homes) == 1:
        ((uri, parent),) = homes
        if log_files(parent, written, uri):
            typer.echo(f"logged to the MLflow run {parent}, folder report")
    elif homes:
        typer.echo(f"not logged to MLflow: the rows have {len(homes)} parent runs, not one; give a parent run's id")
