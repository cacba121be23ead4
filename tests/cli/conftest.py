"""The command line in this process, which is quick, and as a process of its own, where that makes a difference."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pictures import draw_blank
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

    def call(*arguments: str) -> Answer:
        capsys.readouterr()
        return Answer(called(arguments, monkeypatch), *capsys.readouterr())

    with put_back(monkeypatch):
        yield call


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path, migrated: Path) -> Callable[..., Path]:
    """``prepared("run", …)`` is a new folder with a store, in which that was called; the pictures are blank."""

    def make(*arguments: str) -> Path:
        folder = tmp_path_factory.mktemp("prepared")
        shutil.copy(migrated, folder / "mlflow.db")
        with pytest.MonkeyPatch.context() as monkeypatch, put_back(monkeypatch):
            monkeypatch.chdir(folder)
            monkeypatch.setenv(CACHE_VARIABLE, str(shared_cache))
            monkeypatch.delenv(store.VARIABLE, raising=False)
            draw_blank(monkeypatch)
            assert called(arguments, monkeypatch) == 0
        return folder

    return make


@contextmanager
def put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the block, the command may change what it changes of a process: signal handlers and variables."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for name in (DEBUG, resources.VARIABLE):
        monkeypatch.setenv(name, "")
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def called(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of the command with ``arguments``, called in this process."""
    monkeypatch.setattr(sys, "argv", ["pdadmm-bench", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
