"""What ``report`` does: reads the sources, makes the tables, writes or prints them, and says what could not be made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from pdadmm_bench.cli.console import stdout
from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.rows import Row, check_writable, write_atomic
from pdadmm_bench.report import render
from pdadmm_bench.report.assemble import Report, assemble
from pdadmm_bench.suite.results import Results, default_folder
from pdadmm_bench.track.read import read_source
from pdadmm_bench.track.report import histories, log_files, parents

TEXTS = {"markdown": ".md", "csv": ".csv", "latex": ".tex"}
PICTURES = ("png", "svg")
FORMATS = ("terminal", *TEXTS, "html", *PICTURES)


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
    from_mlflow: bool = False


def answer(request: Request, tracking_uri: str | None) -> None:
    """Make the report; raises :class:`UserError` for formats and sources that are none, and an unwritable folder."""
    formats = _formats(request.formats)
    files = [name for name in formats if name != "terminal"]
    if files:
        check_writable(request.out / "report.md")
    found = read(request.sources, tracking_uri)
    pictures = [name for name in files if name in (*PICTURES, "html")]
    steps = histories(found.rows, tracking_uri) if pictures else {}
    report = assemble(found.rows, found.scale, request.reference, request.published)
    if "terminal" in formats:
        for table in report.tables:
            stdout().print(render.terminal(table))
    written = list(_write(request, files, found, report, steps))
    missing = [*report.missing, *(_without_history(found.rows, steps) if pictures else [])]
    for line in (*found.remarks, *missing):
        typer.echo(line)
    for path in written:
        typer.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)" if path.suffix == ".html" else str(path))
    if found.from_mlflow and written:
        _log(found.rows, written, tracking_uri)


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
        folder = path if path.is_dir() else default_folder(name) if default_folder(name).is_dir() else None
        if folder is not None:
            found.rows += _folder(folder, found.remarks)
        elif (scale := _scale_rows(path)) is not None:
            found.scale += scale
        else:
            source = read_source(name, tracking_uri)
            found.rows += source.rows
            found.from_mlflow |= not path.is_file()
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
    rows = Results(folder).every_row()
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
    request: Request, files: Sequence[str], found: Found, report: Report, steps: dict[str, list[dict[str, float]]]
) -> Iterator[Path]:
    for name in files:
        if name == "markdown":
            yield _text(request.out / "report.md", "\n".join(render.markdown(table) for table in report.tables))
        elif name in TEXTS:
            draw = {"csv": render.comma_separated, "latex": render.latex}[name]
            for table in report.tables:
                yield _text(request.out / f"{table.name}{TEXTS[name]}", draw(table))
        elif name in PICTURES:
            from pdadmm_bench.report.figures import figures

            for stem, figure in figures(found.rows, steps, report.points).items():
                path = request.out / f"{stem}.{name}"
                check_writable(path)
                figure.savefig(path, metadata={"Date": None} if name == "svg" else None)
                yield path
        elif name == "html":
            from pdadmm_bench.report.page import page

            missing = [*report.missing, *_without_history(found.rows, steps)]
            yield _text(
                request.out / "report.html", page(", ".join(request.sources), found.rows, steps, report, missing)
            )


def _text(path: Path, text: str) -> Path:
    write_atomic(path, text)
    return path


def _without_history(rows: Sequence[Row], steps: dict[str, Any]) -> list[str]:
    without = sum(row.get("mlflow_run_id") not in steps for row in rows if row["status"] != "skipped")
    if not without:
        return []
    return [
        f"no convergence curves of {without} of {len(rows)} runs: their steps are in no MLflow store that was found "
        "(rows have none); name the store with --tracking-uri"
    ]


def _log(rows: Sequence[Row], written: Sequence[Path], tracking_uri: str | None) -> None:
    found = parents(rows)
    if len(found) == 1:
        log_files(found[0], written, tracking_uri)
        typer.echo(f"logged to the MLflow run {found[0]}, folder report")
    else:
        typer.echo(f"not logged to MLflow: the rows have {len(found)} parent runs, not one; give a parent run's id")
