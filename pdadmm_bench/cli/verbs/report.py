"""``pdadmm-bench report``: tables, pictures and a page from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.cli import complete


def report(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="rows file, file of scale --json, folder or name of a suite, MLflow experiment or run",
            autocompletion=complete.sources,
        ),
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help="terminal, markdown, csv, latex, html, png, svg, or all; repeatable [default: terminal]"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder for the files of the other formats")] = Path(
        "report"
    ),
    reference: Annotated[
        str | None,
        typer.Option(metavar="OPTIMIZER", help="speedups against one worker of it [default: of the same optimizer]"),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="published numbers beside ours, with their source")
    ] = False,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow store; else MLFLOW_TRACKING_URI, else mlflow.db")
    ] = None,
) -> None:
    """Make tables, pictures and a page that can be mailed, from rows that were measured.

    Every table says what its numbers rest on: the interval, n, what was left out, what must not be quoted. The curves
    are drawn from the steps that lie beside the rows, or else from MLflow. Where the rows come from MLflow and have one
    parent run, the files are put beside its artifacts.
    """
    from pdadmm_bench.cli.views.report import ReportOptions, run_report

    run_report(ReportOptions(sources, formats or ["terminal"], out, reference, published, tracking_uri))
