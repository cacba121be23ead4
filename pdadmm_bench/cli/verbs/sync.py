"""``pdadmm-bench sync``: runs that MLflow could not take, uploaded later."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sync(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="rows files and results folders [default: what is left in this folder, and everything in results/]",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="also rows that name a run in MLflow: it may be in another store")
    ] = False,
    experiment: Annotated[str, typer.Option(help="MLflow experiment of runs of which there are only rows")] = (
        "pdadmm-bench"
    ),
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow store; else MLFLOW_TRACKING_URI, else mlflow.db")] = (
        None
    ),
) -> None:
    """Upload runs that MLflow lacks: made while its server was away, or logged in part.

    What is there is left alone, what is half there is completed. Exit code 1 when a run could not be uploaded.
    """
    from pdadmm_bench.suite.unsynced import gather, upload

    spools, kept = gather(sources or [], everything)
    raise typer.Exit(upload(spools, kept, experiment, tracking_uri))
