"""The command line in this process, which is quick, and as a process of its own, where that makes a difference."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import Answer, Cli

from pdadmm_bench.cli.main import DEBUG, main
from pdadmm_bench.core import resources
from pdadmm_bench.data.cache import CACHE_VARIABLE
from pdadmm_bench.tracking import store


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that is kept between tests: what is made of the tiny graph is always the same."""
    return tmp_path_factory.mktemp("shared-cache")


@pytest.fixture
def folder(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, without settings of the user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(shared_cache))
    monkeypatch.delenv(store.VARIABLE, raising=False)
    return tmp_path


@pytest.fixture
def with_store(folder: Path, migrated: Path) -> Path:
    """A working folder with an MLflow store."""
    shutil.copy(migrated, folder / "mlflow.db")
    return folder


@pytest.fixture
def cli(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """``cli("run", …)`` calls the entry point in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for name in (DEBUG, resources.VARIABLE):  # options set them; so they are put back
        monkeypatch.setenv(name, "")

    def call(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["pdadmm-bench", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Answer(code, *capsys.readouterr())

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)
