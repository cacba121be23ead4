"""The services of compose.yaml from packages: PostgreSQL of the system, and the command installed as in the image."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from installed import ROOT, Installed
from ports import free_port
from waiting import wait_until

PROGRAMS = next((path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
PASSWORD = "7fd1b0"
TINY = (
    "--dataset", "sbm[nodes=300,classes=3,features=12]", "--hops", "1", "--num-val", "50", "--num-test", "50",
    "--layers", "2", "--hidden", "8", "--iterations", "4",
)  # fmt: skip
pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAMS is None, reason="needs the programs of PostgreSQL (Debian: apt-get install postgresql)"
    ),
]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8").replace("${POSTGRES_PASSWORD}", PASSWORD)
    return yaml.safe_load(text)["services"]


@pytest.fixture(scope="module")
def database(services: dict[str, Any]) -> Iterator[int]:
    """The port of a PostgreSQL with the user, the password and the database of the service; it does not run as root."""
    settings, port = services["database"]["environment"], free_port()
    folder = Path(tempfile.mkdtemp(prefix="pdadmm-bench-"))  # the names of sockets have to be short
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    user = "nobody" if os.getuid() == 0 else None
    if user:
        for path in (folder, folder / "password"):
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)

    def start(program: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        with (folder / "log").open("ab") as log:
            command = [f"{PROGRAMS}/{program}", *arguments]
            return subprocess.Popen(command, cwd=folder, user=user, stdout=log, stderr=log, **options)

    login = ("--username", settings["POSTGRES_USER"], "--auth=scram-sha-256", "--pwfile=password")
    made = start("initdb", "--pgdata=data", *login, "--no-sync").wait(60)
    assert made == 0, (folder / "log").read_text()
    alone = start("postgres", "--single", "-D", "data", "postgres", stdin=subprocess.PIPE)
    alone.communicate(f"CREATE DATABASE {settings['POSTGRES_DB']};\n".encode(), 60)
    server = start("postgres", "-D", "data", "-F", "-h", "127.0.0.1", "-p", str(port), "-k", str(folder))
    yield port
    server.send_signal(signal.SIGINT)
    server.wait(60)
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Server:
    """The service mlflow, on another port."""

    installed: Installed
    address: str
    health: list[str]

    def is_healthy(self, folder: Path) -> bool:
        """What the health check of the image says."""
        try:
            self.installed.run(*self.health, folder=folder)
        except AssertionError:
            return False
        return True

    def search(self, host: str) -> int:
        """The status of a search for runs by somebody who calls the server ``host``."""
        request = urllib.request.Request(f"{self.address}/api/2.0/mlflow/experiments/search?max_results=5")
        request.add_header("Host", host)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture(scope="module")
def server(
    installed: Installed, services: dict[str, Any], database: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Started as compose.yaml says, with the addresses and folders of this machine."""
    service, port, folder = services["mlflow"], free_port(), tmp_path_factory.mktemp("server")
    command = [
        word.replace("5000", str(port)).replace("=/artifacts", f"={installed.root}/artifacts")
        for word in service["entrypoint"] + service["command"]
    ]
    settings = {
        name: value.replace("@database:5432", f"@127.0.0.1:{database}")
        for name, value in service["environment"].items()
    }
    (text,) = re.findall(r"HEALTHCHECK [^[]*CMD (\[.*\])", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    health = json.loads(text)
    health[-1] = health[-1].replace("5000", str(port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [installed.programs / command[0], *command[1:]],
            cwd=folder, env=installed.variables(folder, **settings), stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    server = Server(installed, f"http://127.0.0.1:{port}", health)
    try:
        assert not server.is_healthy(folder)  # so soon, it cannot be
        wait_until(lambda: process.poll() is not None or server.is_healthy(folder))
        assert process.poll() is None, (folder / "log").read_text()
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it would wait for its clients
        process.wait(60)


def test_a_run_ends_up_on_the_server(server: Server, services: dict[str, Any], database: int, tmp_path: Path) -> None:
    variable = {"MLFLOW_TRACKING_URI": server.address}
    assert set(variable) == set(services["bench"]["environment"])
    server.installed.run("pdadmm-bench", "run", *TINY, folder=tmp_path, **variable)
    assert not list(tmp_path.glob("ml*"))  # nothing beside the server

    import psycopg2

    connection = psycopg2.connect(host="127.0.0.1", port=database, user="mlflow", password=PASSWORD, dbname="mlflow")
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT status, count(*) FROM runs GROUP BY status")
        assert cursor.fetchall() == [("FINISHED", 2)]  # the run and its parent
    assert len(list((server.installed.root / "artifacts").rglob("row.json"))) == 1
    assert not server.installed.network_log.exists(), server.installed.network_log.read_text()


def test_the_server_answers_to_its_names_only(server: Server) -> None:
    port = server.address.rpartition(":")[2]
    assert [server.search(f"{name}:{port}") for name in ("mlflow", "localhost", "127.0.0.1")] == [200, 200, 200]
    assert server.search("somewhere.example") == 403
