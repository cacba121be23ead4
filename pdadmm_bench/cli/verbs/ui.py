"""``pdadmm-bench ui``: opens the MLflow UI on the store of the runs."""

from __future__ import annotations

from typing import Annotated

import typer


def ui(
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow store; else MLFLOW_TRACKING_URI, else mlflow.db")] = (
        None
    ),
    experiment: Annotated[str | None, typer.Option(help="experiment to open [default: that of the latest run]")] = None,
    view: Annotated[
        bool, typer.Option("--view", help="give an older experiment the views of this program, or renew them")
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="open the page in a browser")] = True,
    port: Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")] = 5000,
    host: Annotated[str, typer.Option(help="address to listen on; others than 127.0.0.1 let other machines in")] = (
        "127.0.0.1"
    ),
) -> None:
    """Open the MLflow UI on the training runs of the store, until Ctrl-C."""
    from pdadmm_bench.tracking import store
    from pdadmm_bench.tracking.ui import check_port, check_store, open_in_browser, pages, serve

    uri = store.uri_or_default(tracking_uri)
    if uri.startswith(("http://", "https://")):
        found = pages(uri, experiment, view) if view or experiment else None
        typer.echo(f"the store is a server with a UI of its own: open {uri.rstrip('/')}{found.runs if found else ''}")
        return
    check_store(uri)
    check_port(host, port)
    found = pages(uri, experiment, view)
    server = f"http://{host}:{port}"
    typer.echo(f"MLflow UI: {server} (Ctrl-C ends it)", err=True)
    if found is None:
        typer.echo("the store has no run yet", err=True)
    else:
        typer.echo(f"training runs:           {server}{found.runs}", err=True)
        if found.charts and found.optimizers:
            typer.echo(f"the same, with charts:   {server}{found.charts}", err=True)
            typer.echo(f"means over the seeds:    {server}{found.optimizers}", err=True)
        else:
            typer.echo("this experiment has no views of this program: ui --view makes them", err=True)

    def show() -> None:
        if open_browser:
            open_in_browser(server + (found.runs if found else ""))

    serve(uri, host, port, show)
