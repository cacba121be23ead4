"""Shared fixtures: no test reads the user's folders, and real data is used where its folder is named."""

from __future__ import annotations

import functools
import gc
import importlib
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest
import typer.main
from hold import HOLD_VARIABLE, Hold
from pictures import draw_blank
from sharing import made_once
from third_party import write_package

from pdadmm_bench.tracking import store

# A shared machine may take any time for an example, and speed belongs to benchmarks. Each run draws other examples, so
# that few of them in many runs find what many would.
hypothesis.settings.register_profile("patient", deadline=None, max_examples=50)
hypothesis.settings.load_profile("patient")

# typer makes the whole command anew at every call, which takes longer than what most calls in the tests do.
typer.main.get_command = functools.cache(typer.main.get_command)

# A shell lets what it starts in the background ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

SUPPORT = Path(__file__).resolve().parent / "support"
TOOLS = Path(__file__).resolve().parents[1] / "tools"
REAL_DATA = os.environ.get("PDADMM_BENCH_DATA")
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every test starts without a data root or overlay and with an empty cache."""
    monkeypatch.delenv("PDADMM_BENCH_DATA", raising=False)
    monkeypatch.delenv("PDADMM_BENCH_SHARE", raising=False)
    monkeypatch.delenv("PDADMM_BENCH_TABLES", raising=False)
    # A name and no folder: most tests need none, and mktemp reads the names of all folders there are.
    monkeypatch.setenv("PDADMM_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "caches" / str(next(_numbers))))


@pytest.fixture
def install(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """``install("pdadmm_bench.optimizers", mine="module:Class")`` installs a package with entry points of that group.

    It returns a folder on the path of modules, where ``module.py`` may be written. The modules of ``tests/support`` can
    be named as well. Processes that the test starts find the same. Afterwards nothing of it is left.
    """
    folders: list[Path] = []

    def make(group: str, **targets: str) -> Path:
        folders.append(tmp_path_factory.mktemp("third_party"))
        write_package(folders[-1], folders[-1].name, {group: targets})
        monkeypatch.syspath_prepend(folders[-1])
        paths = [str(folders[-1]), str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
        return folders[-1]

    yield make
    for name, module in list(sys.modules.items()):
        if any(str(folder) in str(getattr(module, "__file__", None)) for folder in folders):
            del sys.modules[name]


@pytest.fixture
def hold(
    install: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Hold:
    """The optimizer ``held``: a run with it is slow from its third iteration on, until the test releases it."""
    hold = Hold(tmp_path_factory.mktemp("hold") / "hold")
    hold.file.touch()
    monkeypatch.setenv(HOLD_VARIABLE, str(hold.file))
    install("pdadmm_bench.optimizers", held="fake_optimizers:Held")
    return hold


@pytest.fixture
def real_data() -> Path:
    """The folder of real raw files that ``PDADMM_BENCH_DATA`` named when pytest was started."""
    if not REAL_DATA:
        pytest.skip("set PDADMM_BENCH_DATA to a folder of real raw files")
    return Path(REAL_DATA)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store: its migration takes seconds, so it happens once and the file is copied."""

    def make(folder: Path) -> None:
        store.quiet()
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()

    return made_once(tmp_path_factory, "migrated", make) / "mlflow.db"


@pytest.fixture
def blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of runs are blank."""
    draw_blank(monkeypatch)


@pytest.fixture(scope="session")
def tool() -> Callable[[str], ModuleType]:
    """``tool(name)`` is the program of that name in ``tools/docs`` or ``tools/studies``, as a module."""
    sys.path += [str(TOOLS / "docs"), str(TOOLS / "studies")]  # those of one folder import each other, as when run
    return importlib.import_module


class Imports:
    """Leaves what was imported out of every later garbage collection: it lives as long as the process.

    A run that fails collects garbage, which takes a third of a second where torch and MLflow are imported.
    """

    MANY = 300
    """New modules that are worth a collection."""

    def __init__(self) -> None:
        self.known = 0

    def pytest_runtest_logfinish(self) -> None:
        if len(sys.modules) >= self.known + self.MANY:
            gc.collect()
            gc.freeze()
            self.known = len(sys.modules)

    pytest_collection_finish = pytest_runtest_logfinish


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Imports())
