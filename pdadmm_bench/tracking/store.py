"""The MLflow store: which one, whether it can be used, and what is created in it once."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shlex
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pdadmm_bench.core.errors import TrackingError, UserError, unknown
from pdadmm_bench.tracking import view
from pdadmm_bench.tracking.moved import ARTIFACTS, follow
from pdadmm_bench.tracking.sqlite_file import make_whole, schema

DEFAULT_URI = "sqlite:///mlflow.db"
VARIABLE = "MLFLOW_TRACKING_URI"

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # an offline machine must not wait for it
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # there would be a bar for each row
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # MLflow's own 7 retries of 120 s would look like a hang
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""The kind of our experiments, for the UI, which shows the other kind (of language models) by their traces."""
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_DATABRICKS = ("databricks", "databricks-uc", "uc")
_LOCK_SECONDS = 60.0
_FREE_BYTES = 32 << 20


def uri_or_default(uri: str | None = None) -> str:
    """The MLflow store to use: ``uri``, else ``MLFLOW_TRACKING_URI``, else ``mlflow.db`` in the working folder."""
    return uri or os.environ.get(VARIABLE) or DEFAULT_URI


def view_command(uri: str | None = None) -> str:
    """The command that opens the MLflow UI on the store that :func:`uri_or_default` gives for ``uri``."""
    return command("ui", uri)


def command(verb: str, uri: str | None) -> str:
    """The command line of ``verb`` on the store that :func:`uri_or_default` gives for ``uri``."""
    return f"pdadmm-bench {verb}" + (f" --tracking-uri {shlex.quote(public(uri))}" if uri else "")


def database(uri: str) -> Path | None:
    """The file of a SQLite store, or None for a store elsewhere."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix).partition("?")[0]) if uri.startswith(prefix) else None


def client(uri: str) -> Any:
    """MLflow's client of the store at ``uri``.

    MLflow keeps a store open under its name, whatever folder that is relative to. So a file gets its absolute name. The
    caller holds the lock of a file (:func:`alone`), which is made here if there is none.
    """
    from mlflow import MlflowClient

    # The caller reports a failed statement in one sentence; MLflow would add a hundred lines.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    file, query = database(uri), uri.partition("?")[1:]
    if file is not None:
        make_whole(file)
        follow(file)
    return MlflowClient(uri if file is None else "".join([f"sqlite:///{file.absolute()}", *query]))


def quiet() -> None:
    """Settings for this process and its children, where the user has set none; takes effect before MLflow's import."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


def check_address(uri: str) -> None:
    """Raise :class:`TrackingError` for an address at which there can be no store, whatever is done there."""
    try:
        parts = urlsplit(uri)
        scheme, host, _ = parts.scheme.partition("+")[0], parts.hostname, parts.port
    except ValueError as error:
        raise TrackingError(f"{public(uri)} is no address of an MLflow store ({error})") from None
    file = database(uri)
    if scheme == "sqlite":
        if file is None or not file.name:
            raise TrackingError(f"{uri} names no file: an SQLite store is sqlite:///NAME or sqlite:////PATH/NAME")
        if blocked := next((path for path in file.absolute().parents if path.exists() and not path.is_dir()), None):
            raise TrackingError(f"the MLflow store {file} cannot be written: {blocked} is not a folder")
    elif scheme in ("http", "https"):
        if not host:
            raise TrackingError(f"{uri} names no server: give it as {scheme}://HOST:PORT")
    elif scheme == "file" or (not scheme and not uri.startswith(_DATABRICKS)):
        raise TrackingError(f"{uri} is not a store MLflow can write: for a file use {DEFAULT_URI}, or a server's URL")
    elif scheme and scheme not in (*_PORTS, *_DATABRICKS):
        plugins = {point.name for point in entry_points(group="mlflow.tracking_store")}
        if scheme not in plugins:
            known = ["sqlite", "http", "https", *_PORTS, "databricks", *sorted(plugins)]
            raise TrackingError(str(unknown("kind of MLflow store", scheme, known)))


def check(uri: str) -> None:
    """Raise :class:`TrackingError` for every problem of the store at ``uri`` that can be found without MLflow."""
    check_address(uri)
    file = database(uri)
    if file is not None:
        _check_file(file)
    elif port := _PORTS.get(urlsplit(uri).scheme.partition("+")[0]):
        _check_port(uri, port)


def describe(uri: str) -> str:
    """What the store at ``uri`` holds; raises :class:`TrackingError` when it cannot be used, and creates none."""
    check(uri)
    with existing(uri) as found:
        if found is None:
            return "will be made by the first run"
        return f"reachable, {len(found.search_experiments())} experiments"


@contextlib.contextmanager
def existing(uri: str) -> Iterator[Any | None]:
    """MLflow's client of the store at ``uri``; None where there is no such file, and none is made.

    An error of MLflow becomes a :class:`TrackingError`.
    """
    file = database(uri)
    if file is not None and not file.exists():
        yield None
        return
    check(uri)
    quiet()
    try:
        with alone(file):
            found = client(uri)
            found.search_experiments(max_results=1)  # a store of an older MLflow is migrated here, alone
        yield found
    except UserError:
        raise
    except Exception as error:
        raise unusable(uri, error) from error


def _check_file(file: Path) -> None:
    folder = file.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
        if file.exists():
            with file.open("rb+") as stream:
                start = stream.read(16)
            if start and start != b"SQLite format 3\0":
                raise TrackingError(f"{file} is not an SQLite database; move it away or name another with {VARIABLE}")
            if _is_foreign(file):
                raise TrackingError(
                    f"{file} is the database of another program, not of MLflow; name another with {VARIABLE}"
                )
    except OSError as error:
        raise TrackingError(
            f"the MLflow store {file} cannot be written ({error.strerror}); "
            f"use a writable folder or set {VARIABLE}=sqlite:////path/to/mlflow.db"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < _FREE_BYTES:
        raise TrackingError(f"only {free >> 20} MiB are free in {folder} for the MLflow store; free some space first")


def _is_foreign(file: Path) -> bool:
    try:
        return schema(file).is_foreign
    except sqlite3.Error:
        return False  # MLflow says what is wrong


def _check_port(uri: str, port: int) -> None:
    """Check that the database server listens; MLflow itself would retry for well over a minute."""
    try:
        parts = urlsplit(uri)
        socket.create_connection((parts.hostname or "localhost", parts.port or port), timeout=5).close()
    except (OSError, ValueError) as error:
        raise unusable(uri, error) from error


def unusable(uri: str, error: BaseException) -> TrackingError:
    """The error for a store that MLflow fails on."""
    remedy = "" if database(uri) else "start it, or "
    return TrackingError(
        f"the MLflow store {public(uri)} cannot be used ({sentence(error)}); {remedy}set {VARIABLE} to another store"
    )


def public(text: str) -> str:
    """``text`` without the user names and passwords of the addresses in it."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)


def sentence(error: BaseException) -> str:
    """The first line of an error's origin, without secrets, short enough for one line of output.

    An error of ours is a sentence already.
    """
    if isinstance(error, UserError):
        return public(str(error))
    error = list(_causes(error))[-1]  # MLflow, requests and urllib3 each wrap the one thing a user can act on
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return public(line if len(line) <= 300 else f"{line[:300]}…")


def is_away(uri: str, error: BaseException) -> bool:
    """Whether ``error`` says that the server at ``uri`` cannot be reached at the moment."""
    if database(uri) is not None:
        return False
    from requests import exceptions as http

    network = (ConnectionError, TimeoutError, socket.gaierror, http.ConnectionError, http.Timeout, http.RetryError)
    unreachable = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)
    return any(isinstance(it, network) or getattr(it, "errno", None) in unreachable for it in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error``, what it came from, and so on to the origin."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


@contextlib.contextmanager
def alone(file: Path | None) -> Iterator[None]:
    """Hold the lock beside a SQLite store: processes that open a fresh one at once crash in its migration."""
    if file is None:
        yield
        return
    from filelock import FileLock, Timeout

    try:
        with FileLock(f"{file}.lock", timeout=_LOCK_SECONDS):
            yield
    except Timeout:
        raise TrackingError(
            f"another process has held {file}.lock for {_LOCK_SECONDS:.0f} s; wait for it to end, or end it"
        ) from None


def create_experiment(client: Any, name: str, file: Path | None) -> str:
    """The id of the experiment, created if there is none; a SQLite store keeps its artifacts beside the database."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        location = None if file is None else str(file.absolute().parent / ARTIFACTS)
        try:
            tags = {**_KIND, **view.experiment_tags()}
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException:
            # On a server another process may have created it since; if not, the first error is the one to report.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"the MLflow experiment {name!r} is deleted; restore it with "
            f"'mlflow experiments restore --experiment-id {found.experiment_id}' or use another name"
        )
    return str(found.experiment_id)
