"""Runs on MLflow stores that fail in some way, or whose server does; none of their numbers is lost."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torture import Case
from torture_processes import PROBLEM, empty_store, load, start

DATABASE_PROGRAMS = next((path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
if found := shutil.which("initdb"):
    DATABASE_PROGRAMS = Path(found).parent
HOST = "127.0.0.1"
LOCKED_S = 60.0


def tracking(seed: int) -> Iterator[Case]:
    """Runs on stores that fail in some way; each run is made, and none of its numbers is lost."""
    for name, prepare, hold in (
        ("no store yet", None, None), ("an empty file", lambda path: path.write_bytes(b""), None),
        ("no database", lambda path: path.write_bytes(b"something else"), None),
        ("cut", lambda path: path.write_bytes(empty_store().read_bytes()[:5000]), None),
        ("zeros in the middle", _zeros, None), ("half made", _half_made, None), ("of another program", _foreign, None),
        ("locked by a writer", lambda path: shutil.copy(empty_store(), path), _write_lock),
        ("lock file held", lambda path: shutil.copy(empty_store(), path), _file_lock),
        ("locked for a minute", lambda path: shutil.copy(empty_store(), path), _lock_for_a_minute),
        ("a folder", lambda path: path.mkdir(), None), ("read-only file", _read_only, None),
        ("artifacts are a file", _artifacts, None),
    ):  # fmt: skip
        yield Case("tracking", name, _on_store(prepare, hold), "pdadmm-bench run …")
    for uri in ("http://127.0.0.1:9", "postgresql://127.0.0.1:9/x", "mysql://127.0.0.1:9/x"):
        yield Case("tracking", f"away: {uri}", _on_store(None, None, uri), f"pdadmm-bench run … --tracking-uri {uri}")
    yield Case("tracking", "read-only file system", _read_only_file_system, "pdadmm-bench run …")
    for seconds in (0.0, 3.0):
        yield Case("tracking", f"server killed, {seconds:g} s after the start of a run", _server_killed(seconds))
    if DATABASE_PROGRAMS:
        yield Case("tracking", "PostgreSQL killed", _postgres_killed)
    for seconds in (2.0, 4.0, 5.0, 6.0, 8.0, 10.0):
        yield Case("tracking", f"killed while it makes the store, after {seconds:g} s", _killed_making(seconds))


def _on_store(prepare: Any, hold: Any, uri: str = "") -> Callable[[Path], str | None]:
    def attempt(folder: Path) -> str | None:
        if prepare:
            prepare(folder / "mlflow.db")
        with hold(folder / "mlflow.db") if hold else contextlib.nullcontext():
            return _run_on(folder, *(["--tracking-uri", uri] if uri else []))

    return attempt


def _run_on(folder: Path, *more: str) -> str | None:
    arguments = ["run", *PROBLEM, "--layers", "2", "--iterations", "5", "--optimizer", "adam", "--quiet", *more]
    command = start(folder, *arguments, "--json", "rows.json", store=False)
    try:
        code = command.finish()
    finally:
        command.end()
    said, rows = command.said(), command.rows()
    if code != 0 or "Traceback" in said:
        return f"exit code {code}: {said[-300:]}"
    if [row["status"] for row in rows] != ["ok"]:
        return f"rows: {[row['status'] for row in rows]}"
    kept = list(folder.glob("mlflow-unsent/*/*.json"))
    if not rows[0].get("mlflow_run_id") and not kept:
        return "the run is neither in MLflow nor kept for it"
    return None


def _killed_making(seconds: float) -> Callable[[Path], str | None]:
    def attempt(folder: Path) -> str | None:
        command = start(folder, "run", *PROBLEM, "--layers", "2", "--iterations", "5", "--quiet", store=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.process.wait(seconds)
        command.process.kill()
        command.finish()
        command.end()
        lost = _run_on(folder)
        return lost or ("the store cannot be used" if "cannot be used" in command.said() else None)

    return attempt


def _zeros(path: Path) -> None:
    content = bytearray(empty_store().read_bytes())
    content[4096:40960] = bytes(36864)
    path.write_bytes(content)


def _half_made(path: Path) -> None:
    shutil.copy(empty_store(), path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE _alembic_tmp_latest_metrics (key)")
        database.execute("UPDATE alembic_version SET version_num = '90e64c465722'")
        database.commit()


def _foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE users (name)")


def _read_only(path: Path) -> None:
    shutil.copy(empty_store(), path)
    path.chmod(0o400)


def _artifacts(path: Path) -> None:
    shutil.copy(empty_store(), path)
    path.with_name("mlruns").touch()


@contextlib.contextmanager
def _write_lock(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    from filelock import FileLock

    with FileLock(f"{path}.lock"):
        yield


@contextlib.contextmanager
def _lock_for_a_minute(path: Path) -> Iterator[None]:
    ended = threading.Event()
    began = threading.Event()

    def hold() -> None:
        with _write_lock(path):
            began.set()
            ended.wait(LOCKED_S)

    holder = threading.Thread(target=hold)
    holder.start()
    began.wait()
    try:
        yield
    finally:
        ended.set()
        holder.join()


def _read_only_file_system(folder: Path) -> str | None:
    place = folder / "store"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True).returncode:
        return "a file system could not be mounted here"
    try:
        shutil.copy(empty_store(), place / "mlflow.db")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True, capture_output=True)
        return _run_on(folder, "--tracking-uri", "sqlite:///store/mlflow.db")
    finally:
        subprocess.run(["umount", str(place)], capture_output=True)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def _server(folder: Path, port: int, database: str) -> Iterator[Callable[[], None]]:
    """An MLflow server on ``database``; what it gives kills it, as the system does that ran out of memory."""
    with (folder / "server.log").open("a") as log:
        server = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1",
                "--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts"),
            ],
            cwd=folder, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )  # fmt: skip

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()

    try:
        _wait_for(lambda: urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5).status == 200)
        yield kill
    finally:
        kill()


def _wait_for(condition: Callable[[], Any], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds * load()
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if condition():
                return
        time.sleep(0.2)
    raise TimeoutError("a server did not start")


def _killed_in_a_run(folder: Path, kill: Callable[[], None], seconds: float, uri: str) -> str | None:
    """Start runs on the store ``uri``, ``kill`` it after the start of the first, and wait for their end."""
    command = start(
        folder, "run", *PROBLEM, "--layers", "2", "--iterations", "300", "--optimizer", "adam", "--seeds", "3",
        "--quiet", "--json", "rows.json", "--tracking-uri", uri, store=False,
    )  # fmt: skip
    command.reaches(lambda: (folder / "rows.json").exists())
    time.sleep(seconds)
    kill()
    code = command.finish()
    command.end()
    said, rows = command.said(), command.rows()
    if code != 0 or "Traceback" in said or [row["status"] for row in rows] != ["ok"] * 3:
        return f"exit code {code}, {[row['status'] for row in rows]}: {said[-300:]}"
    return None


def _all_uploaded(folder: Path, uri: str) -> str | None:
    """Whether ``sync`` brings every run into the store, so that a second one finds nothing to do."""
    for _ in range(2):
        command = start(folder, "sync", "--tracking-uri", uri, store=False)
        code = command.finish()
        command.end()
        if code != 0 or "Traceback" in command.said():
            return f"sync ends with {code}: {command.said()[-300:]}"
    last = command.said().strip().splitlines()[-1]
    return None if last.startswith("nothing to upload") else f"runs are left: {last}"


def _server_killed(seconds: float) -> Callable[[Path], str | None]:
    def attempt(folder: Path) -> str | None:
        shutil.copy(empty_store(), folder / "server.db")
        port = _free_port()
        uri, database = f"http://{HOST}:{port}", f"sqlite:///{folder}/server.db"
        with _server(folder, port, database) as kill:
            lost = _killed_in_a_run(folder, kill, seconds, uri)
        if lost:
            return lost
        with _server(folder, port, database):
            return _all_uploaded(folder, uri)

    return attempt


def _postgres_killed(folder: Path) -> str | None:
    place, port = folder / "postgres", _free_port()
    place.mkdir()
    user = None
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        user = "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
        shutil.chown(place, user)
    uri = f"postgresql+psycopg2://bench@{HOST}:{port}/postgres"
    programs = str(DATABASE_PROGRAMS)

    @contextlib.contextmanager
    def database() -> Iterator[Callable[[], None]]:
        arguments = [f"{programs}/postgres", "-D", str(place / "data"), "-h", HOST, "-p", str(port), "-k", str(place)]
        with (folder / "postgres.log").open("a") as log:
            server = subprocess.Popen(arguments, cwd=place, user=user, stdout=log, stderr=log, start_new_session=True)

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()

        try:
            _wait_for(lambda: socket.create_connection((HOST, port), timeout=1).close() or True)
            yield kill
        finally:
            kill()

    made = [f"{programs}/initdb", "-D", str(place / "data"), "-U", "bench", "--auth=trust", "-E", "UTF8"]
    subprocess.run(made, cwd=place, user=user, check=True, capture_output=True)
    with database() as kill:
        lost = _killed_in_a_run(folder, kill, 2.0, uri)
    if lost:
        return lost
    (place / "data" / "postmaster.pid").unlink(missing_ok=True)
    with database():
        return _all_uploaded(folder, uri)
