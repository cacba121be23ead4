"""``pdadmm-bench ui``: opens the MLflow UI on the store of the runs."""

from __future__ import annotations

from typing import Annotated

import typer


def ui(
    tracking_uri: str | None = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")] = 5000,
    host: Annotated[str, typer.Option(help="address to listen on; others than 127.0.0.1 let other machines in")] = (
        "127.0.0.1"
    ),
) -> None:
    """Open the MLflow UI on the store of the runs, until Ctrl-C."""
    from pdadmm_bench.tracking import store
    from pdadmm_bench.tracking.ui import check_port, check_store, serve

    uri = store.uri_or_default(tracking_uri)
    if uri.startswith(("http://", "https://")):
        typer.echo(f"the store is a server with a UI of its own: open {uri}")
        return
    check_store(uri)
    check_port(host, port)
    typer.echo(f"MLflow UI: http://{host}:{port} (Ctrl-C ends it)", err=True)
    typer.echo("the runs are where the switch at its top left says 'Model training'", err=True)
    serve(uri, host, port)
