"""MLflow's own user interface, served on the store of the runs."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass

from pdadmm_bench.core.errors import TrackingError, UserError, unknown
from pdadmm_bench.tracking import store, view


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


@dataclass(frozen=True)
class Pages:
    """Addresses below that of the UI which show the training runs of one experiment."""

    runs: str
    charts: str | None = None
    """The same runs as curves and bars; None where the experiment has no views of ours."""
    optimizers: str | None = None
    """Curves and bars of the means over seeds; None likewise."""


def pages(uri: str, experiment: str | None = None, make: bool = False) -> Pages | None:
    """The pages of ``experiment``, by default that of the latest run; None for a store without any run.

    Args:
        make: give the experiment our views, or renew them.

    Raises :class:`UserError` for an experiment that the store does not have, :class:`TrackingError` for a store that
    cannot be used.
    """
    with store.existing(uri) as client:
        if client is None:
            return None
        experiments = {each.name: each for each in client.search_experiments()}
        if experiment is None:
            ids = [each.experiment_id for each in experiments.values()]
            latest = client.search_runs(ids, max_results=1, order_by=["attributes.start_time DESC"])
            if not latest:
                return None
            chosen = latest[0].info.experiment_id
        elif experiment in experiments:
            chosen = experiments[experiment].experiment_id
        else:
            raise unknown("experiment", experiment, experiments)
        if make:
            latest = client.search_runs([chosen], view.TRAINING_RUNS, max_results=1)
            metrics = latest[0].data.metrics if latest else ()
            for key, value in view.experiment_tags(metrics).items():
                client.set_experiment_tag(chosen, key, value)
        tags = client.get_experiment(chosen).tags
    if not all(each.tag in tags for each in view.VIEWS):
        return Pages(view.page(chosen, None))
    return Pages(
        view.page(chosen, view.RUNS),
        view.page(chosen, view.RUNS, charts=True),
        view.page(chosen, view.OPTIMIZERS, charts=True),
    )


def open_in_browser(address: str) -> bool:
    """Whether a window of the user's browser could be asked to open ``address``; a text browser is not asked."""
    graphical = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    return graphical and webbrowser.open(address)


def serve(uri: str, host: str, port: int, when_ready: Callable[[], object]) -> None:
    """Serve the interface until Ctrl-C.

    Args:
        when_ready: called once, as soon as the server answers.

    Raises :class:`UserError` with the last words of the server when it ends by itself.
    """
    store.quiet()
    command = ["--backend-store-uri", uri, "--host", host, "--port", str(port), "--workers", "1"]
    # MLflow's job runners serve other uses of it, and would outlive the server. PYTHONSAFEPATH: a subfolder of the
    # working folder that has the name of a package must not be imported in its place.
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ, "PYTHONSAFEPATH": "1"}
    with tempfile.TemporaryFile() as words:  # what it says is for its developers, unless it fails
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "ui", *command], env=settings, stdout=words, stderr=subprocess.STDOUT
        )
        try:
            while server.poll() is None and not _answers(host, port):
                time.sleep(0.2)
            if server.poll() is None:
                when_ready()
            code = server.wait()
        except KeyboardInterrupt:
            server.terminate()  # Ctrl-C on a terminal reached it too; a signal to this process alone did not
            server.wait()
            return
        if code:
            words.seek(0)
            said = words.read().decode(errors="replace").strip().splitlines()[-20:]
            raise UserError("\n".join([f"the MLflow UI ended with exit code {code}; its last words:", *said]))


def _answers(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
