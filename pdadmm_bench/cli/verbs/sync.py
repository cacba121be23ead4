"""``pdadmm-bench sync``: uploads runs that MLflow could not take."""

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
    """Upload runs that MLflow lacks, or has in part.

    They were made while its server was away, or were logged in part. What is there is left alone, what is half there is
    completed. Exit code 1 when a run could not be uploaded.
    """
    from rich.console import Console
    from rich.progress import Progress

    from pdadmm_bench.suite.unsynced import gather
    from pdadmm_bench.tracking import store
    from pdadmm_bench.tracking.sync import Sync, check_store, other_stores
    from pdadmm_bench.tracking.unsent import UNSENT

    uri = store.uri_or_default(tracking_uri)
    store.check_address(uri)
    folders, kept = gather(sources or [], everything)
    if sources:  # what else was left in this folder, for another store, does not keep these from being uploaded
        named = {(source if source.name == UNSENT else source / UNSENT).resolve() for source in sources}
        folders = [it for it in folders if it.folder.resolve() in named or not other_stores(it, uri)]
    total = len({run.run_id for run in [*kept, *(run for folder in folders for run in folder.runs())]})
    total += sum(len(folder.parents()) for folder in folders)
    if not total:
        typer.echo("nothing to upload: no run here lacks one in MLflow")
        return
    if tracking_uri is None:
        check_store(folders, uri)
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bars:
        bar = bars.add_task(f"to {store.public(uri)}", total=total)
        outcome = Sync(
            uri, experiment, warn=lambda text: bars.console.print(f"warning: {text}", markup=False, soft_wrap=True),
            progress=lambda done: bars.update(bar, completed=done),
        ).run(folders, kept)  # fmt: skip
    for line in outcome.failed:
        typer.echo(f"warning: not uploaded: {line}", err=True)
    counts = [f"{outcome.uploaded} uploaded", f"{outcome.completed} completed", f"{outcome.there} there already"]
    if outcome.failed:
        counts.append(f"{len(outcome.failed)} not uploaded")
    typer.echo(f"{', '.join(counts)}: {store.public(uri)}")
    if outcome.failed:
        raise typer.Exit(1)
