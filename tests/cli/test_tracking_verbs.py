"""The verbs around the store: ``ui`` and ``doctor``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from ports import answers, free_port
from waiting import PATIENCE_S, wait_until

from pdadmm_bench.cli.verbs.doctor import doctor
from pdadmm_bench.cli.verbs.ui import ui
from pdadmm_bench.core.errors import TrackingError, UserError
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.selftest.diagnoses import Diagnosis, diagnoses
from pdadmm_bench.tracking import store


@pytest.fixture
def busy_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(store.VARIABLE, raising=False)
    monkeypatch.setenv("PDADMM_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PDADMM_BENCH_DATA", raising=False)


def test_ui_without_a_store() -> None:
    with pytest.raises(TrackingError, match=r"no MLflow store mlflow\.db yet"):
        ui()
    assert not Path("mlflow.db").exists()


def test_ui_on_a_busy_port(busy_port: int) -> None:
    Path("mlflow.db").touch()
    with pytest.raises(UserError, match=rf"127\.0\.0\.1:{busy_port} .*--port"):
        ui(port=busy_port)


def test_ui_of_a_server_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    ui("http://tracker:5000")
    assert "open http://tracker:5000" in capsys.readouterr().out


@pytest.mark.server
@pytest.mark.slow
def test_ui_serves_and_ends_on_ctrl_c() -> None:
    Path("mlflow.db").touch()
    port = free_port()
    code = f"from pdadmm_bench.cli.verbs.ui import ui; ui(port={port})"
    with Path("log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", code], stdout=log, stderr=log, start_new_session=True, text=True
        )
    try:
        wait_until(lambda: server.poll() is not None or answers(f"http://127.0.0.1:{port}/health"))
        assert server.poll() is None, Path("log").read_text()
    finally:
        os.killpg(server.pid, signal.SIGINT)
        code = server.wait(PATIENCE_S)
    assert code == 0, Path("log").read_text()
    with pytest.raises(ProcessLookupError):  # nothing outlives it
        os.killpg(server.pid, 0)


def found(**places: Path | str | None) -> dict[str, Diagnosis]:
    values = {"data_root": None, "tracking_uri": None, "cache": None, **places}
    return {finding.subject: finding for finding in diagnoses(**values)}


def test_doctor_on_a_working_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = found()
    assert {report[subject].mark for subject in ("Python", "cores", "torch", "MLflow store", "cache", "sbm")} == {"ok"}
    assert "gloo yes" in report["backends"].state
    assert (report["cora"].mark, report["cora"].state) == ("warn", "0 of 8 files found")
    assert "prepare cora" in report["cora"].remedy
    assert all(finding.remedy for finding in report.values() if finding.mark != "ok")
    doctor()
    assert "pdadmm-bench prepare cora" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_doctor_tells_a_damaged_file_from_a_missing_one(tmp_path: Path) -> None:
    for file in load_card("cora").files:
        path = tmp_path / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not what the card says")
    report = found(data_root=tmp_path)
    assert report["cora"].mark == "fail"
    assert "sha256" in report["cora"].state
    assert report["pubmed"].mark == "warn"


def test_doctor_fails_with_the_store(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mlflow.db").write_text("no database, and longer than sixteen bytes")
    with pytest.raises(typer.Exit) as end:
        doctor()
    assert end.value.exit_code == 1
    assert "not an SQLite database" in capsys.readouterr().out


def test_doctor_survives_bad_places(tmp_path: Path) -> None:
    report = found(data_root=tmp_path / "nowhere", tracking_uri="http://127.0.0.1:9")
    assert report["datasets"].mark == report["MLflow store"].mark == "fail"
    assert "refused" in report["MLflow store"].state
