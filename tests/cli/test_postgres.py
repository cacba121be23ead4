"""A tracking server on PostgreSQL, killed in the middle of a suite: nothing is lost."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from shell import DATASET, finish, rows_of, start, tiny_suite

from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.upload import SUMMARY

HOST = "127.0.0.1"
BINARIES = next((path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
if found := shutil.which("initdb"):
    BINARIES = Path(found).parent
DRIVER = importlib.util.find_spec("psycopg2")

SUITE = tiny_suite('[[entry]]\noptimizer = ["dladmm", "pdadmm"]\nseeds = 30\n', iterations=1)
RUNS, BEFORE = 60, 15
"""Runs of the suite, and of them before the server is killed."""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The address of a fresh PostgreSQL server, which does not run as root."""
    assert BINARIES is not None
    folder, port = Path(tempfile.mkdtemp(prefix="pdadmm-bench-postgres-")), free_port()
    user: str | None = None
    if os.getuid() == 0:
        users = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in users else "nobody"
        shutil.chown(folder, user)
    log = (folder / "log").open("w")

    def command(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(arguments, cwd=folder, user=user, stdout=log, stderr=log)

    data = str(folder / "data")
    server = None
    try:
        made = command(f"{BINARIES}/initdb", "-D", data, "-U", "bench", "--auth=trust", "--no-sync", "-E", "UTF8")
        assert made.wait(60) == 0, (folder / "log").read_text()
        server = command(f"{BINARIES}/postgres", "-D", data, "-F", "-h", HOST, "-p", str(port), "-k", str(folder))
        for _ in range(300):
            with contextlib.suppress(OSError):
                socket.create_connection((HOST, port), timeout=1).close()
                break
            time.sleep(0.1)
        yield f"postgresql+psycopg2://bench@{HOST}:{port}/postgres"
    finally:
        if server is not None:
            server.send_signal(signal.SIGQUIT)
            server.wait(30)
        log.close()
        shutil.rmtree(folder)


class Server:
    """A tracking server in a process group of its own."""

    def __init__(self, database: str, folder: Path):
        self.port = free_port()
        self.address = f"http://{HOST}:{self.port}"
        self._database, self.folder = database, folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(self.port),
                    "--workers", "1", "--backend-store-uri", self._database,
                    "--artifacts-destination", str(self.folder / "artifacts"),
                ],
                cwd=self.folder, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )  # fmt: skip
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.address}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        """As the system does it that ran out of memory."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None


@pytest.fixture
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(database, tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


def rows_on_file(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.glob("results/mine/runs/*.json")]


def suite_killed_under(server: Server, folder: Path, cache: Path) -> str:
    """Two runs side by side; the server goes after :data:`BEFORE`. Returns the command that the suite advises."""
    (folder / "mine.toml").write_text(SUITE)
    process = start("suite", "mine.toml", "-j", "2", "--tracking-uri", server.address, cwd=folder, cache=cache)
    while len(rows_on_file(folder)) < BEFORE:
        assert process.poll() is None, finish(process)
        time.sleep(0.05)
    server.kill()
    answer = finish(process)
    assert answer.code == 0, answer.err
    assert "training goes on, and what MLflow could not take is kept in results/mine" in answer.err
    (command,) = re.findall(r"(?<=; pdadmm-bench )sync .*(?= uploads them)", answer.err)
    assert len(rows_of(folder / "results/mine/rows.json")) == len(rows_on_file(folder)) == RUNS
    return command


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.skipif(BINARIES is None, reason="needs PostgreSQL (Debian: postgresql)")
@pytest.mark.skipif(DRIVER is None, reason="needs psycopg2 (pip install psycopg2-binary)")
def test_a_server_killed_in_the_middle_loses_nothing(server: Server, folder: Path, shared_cache: Path) -> None:
    command = suite_killed_under(server, folder, shared_cache)
    server.start()
    synced = finish(start(*command.split(), cwd=folder, cache=shared_cache))
    assert synced.code == 0, synced.err
    numbers = [int(number) for number in re.findall(r"(\d+) (?:uploaded|completed|there)", synced.out)]
    assert sum(numbers) >= RUNS - BEFORE - 10 and numbers[2] == 0
    assert not list(folder.glob("results/mine/mlflow-unsent/*"))

    rows = {row["run_id"]: row for row in rows_on_file(folder)}
    client = store.client(server.address)
    everything = client.get_experiment_by_name("pdadmm-bench").experiment_id
    runs = list(client.search_runs([everything], max_results=1000))
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    (parent,) = [run for run in runs if run not in children]
    assert (parent.info.status, parent.data.tags["optimizer"]) == ("FINISHED", "dladmm, pdadmm")
    assert len(children) == len(rows) == RUNS
    assert {run.data.tags["record"] for run in children} == set(rows)
    for run in children:
        row = rows[run.data.tags["record"]]
        assert (row["mlflow_run_id"], row["mlflow_parent_run_id"]) == (run.info.run_id, parent.info.run_id)
        assert (run.info.status, run.data.tags["status"], run.data.tags["dataset"]) == ("FINISHED", "ok", DATASET)
        assert (run.data.params["optimizer"], run.data.params["seed"]) == (row["optimizer_name"], str(row["seed"]))
        assert f"rho={row['optimizer_rho']}" in run.data.tags["hyperparameters"].split()
        assert {key: run.data.metrics[key] for key in SUMMARY if row.get(key) is not None} == {
            key: row[key] for key in SUMMARY if row.get(key) is not None
        }
        assert run.data.metrics["acc_val"] == row["acc_val_final"] and run.data.metrics["time_iteration_s"] > 0
        artifacts = server.folder / "artifacts" / everything / run.info.run_id / "artifacts"
        assert json.loads((artifacts / "row.json").read_text()) == row
        assert {"config.json", "environment.json"} <= {path.name for path in artifacts.iterdir()}
    assert rows_of(folder / "results/mine/rows.json")[0] in rows.values()
    for run in children[::10]:
        assert [point.step for point in client.get_metric_history(run.info.run_id, "acc_val")] == [0, 1]
    some = f"params.optimizer = 'pdadmm' and tags.dataset = '{DATASET}' and metrics.acc_val > 0"
    assert len(client.search_runs([everything], some)) == RUNS // 2

    again = finish(start(*command.split(), cwd=folder, cache=shared_cache))
    assert (again.code, again.out) == (0, "nothing to upload: no run here lacks one in MLflow\n"), again.err
