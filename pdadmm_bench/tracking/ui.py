"""MLflow's own user interface, served on the store of the runs."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

from pdadmm_bench.core.errors import TrackingError, UserError
from pdadmm_bench.tracking import store


def check_store(uri: str) -> None:
    """Raise :class:`TrackingError` for a store that does not exist or cannot be used; none is made."""
    file = store.database(uri)
    if file is not None and not file.is_file():
        raise TrackingError(
            f"there is no MLflow store {file} yet: a first `pdadmm-bench run` makes it; "
            f"for another one use --tracking-uri sqlite:///PATH"
        )
    store.check(uri)


def check_port(host: str, port: int) -> None:
    """Raise :class:`UserError` for an address that cannot be listened on."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            # The server sets this option too: a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        remedy = f"choose another with --port, such as {max(5000, port % 65535 + 1)}"
        if isinstance(error, (socket.gaierror, UnicodeError)) or error.errno == errno.EADDRNOTAVAIL:
            remedy = "--host has to be an address of this machine, such as 127.0.0.1"
        reason = error.strerror if isinstance(error, OSError) else "no valid name"
        raise UserError(f"the UI cannot listen on {host}:{port} ({reason}); {remedy}") from error


def serve(uri: str, host: str, port: int) -> None:
    """Serve the interface until Ctrl-C; raises :class:`UserError` when the server ends by itself."""
    store.quiet()
    command = ["--backend-store-uri", uri, "--host", host, "--port", str(port), "--workers", "1"]
    # MLflow's job runners serve other uses of it, and would outlive the server. PYTHONSAFEPATH: a subfolder of the
    # working folder that has the name of a package must not be imported in its place.
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ, "PYTHONSAFEPATH": "1"}
    server = subprocess.Popen([sys.executable, "-m", "mlflow", "ui", *command], env=settings)
    try:
        code = server.wait()
    except KeyboardInterrupt:
        server.terminate()  # Ctrl-C on a terminal reached it too; a signal to this process alone did not
        server.wait()
        return
    if code:
        raise UserError(f"the MLflow UI ended with exit code {code}; its own words are above")
