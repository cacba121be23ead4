"""``pdadmm-bench ui``: the MLflow UI on the store the runs went to."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Annotated

import typer

from pdadmm_bench.core.errors import TrackingError, UserError
from pdadmm_bench.tracking import store


def ui(
    tracking_uri: str | None = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")] = 5000,
    host: Annotated[str, typer.Option(help="address to listen on; others than 127.0.0.1 let other machines in")] = (
        "127.0.0.1"
    ),
) -> None:
    """Open the MLflow UI on the store of the runs, until Ctrl-C."""
    uri = store.uri_or_default(tracking_uri)
    if uri.startswith(("http://", "https://")):
        typer.echo(f"the store is a server with a UI of its own: open {uri}")
        return
    file = store.database(uri)
    if file is not None and not file.is_file():
        raise TrackingError(
            f"there is no MLflow store {file} yet: a first `pdadmm-bench run` makes it; "
            f"for another one use --tracking-uri sqlite:///PATH"
        )
    store.check(uri)
    _check_free(host, port)
    store.quiet()
    typer.echo(f"MLflow UI: http://{host}:{port} (Ctrl-C ends it)", err=True)
    typer.echo("the runs are where the switch at its top left says 'Model training'", err=True)
    command = ["--backend-store-uri", uri, "--host", host, "--port", str(port), "--workers", "1"]
    # The job runners of MLflow serve other uses of it, and outlive the server; a folder here that is called like a
    # package must not be taken for it.
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ, "PYTHONSAFEPATH": "1"}
    server = subprocess.Popen([sys.executable, "-m", "mlflow", "ui", *command], env=settings)
    try:
        code = server.wait()
    except KeyboardInterrupt:
        server.terminate()  # after Ctrl-C it is ending already; a signal to this process alone it never got
        server.wait()
        return
    if code:
        raise UserError(f"the MLflow UI ended with exit code {code}; its own words are above")


def _check_free(host: str, port: int) -> None:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            # As the server will do it: a port that only waits for its last connections to die is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UserError(
            f"the UI cannot listen on {host}:{port} ({error.strerror}); choose another with --port, such as {port + 1}"
        ) from error
