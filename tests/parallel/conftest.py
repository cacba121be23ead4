"""What the tests of several workers share: a crew that has run its cases, and the command as a process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import ALL, CONTINUED, IN_ONE_LANE, REFUSED, TIMED
from command import Commands
from crew import Findings, Work, found_in, run_cases, settings
from sharing import made_once
from toy import toy_problem

from pdadmm_bench.data.load import load_problem

REAL_DATA = os.environ.get("PDADMM_BENCH_DATA")


@pytest.fixture(scope="session")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Every case, run by one crew; those on real graphs only where a folder of them was named."""

    def make(folder: Path) -> None:
        problems = {
            "square": toy_problem(rows=64, features=24, classes=24),
            "two classes": toy_problem(classes=2, spread=0.5),
        }
        if REAL_DATA:
            folders = {"data_root": Path(REAL_DATA), "cache": folder / "real"}
            data = settings(dataset="pubmed", hops=1).data
            problems["pubmed"] = load_problem(data, **folders, offline=True, report=lambda line: None)
        cases = {name: case for name, case in ALL.items() if case.problem in ("toy", *problems)}
        run_cases(Work(cases, CONTINUED, IN_ONE_LANE, TIMED, REFUSED), problems, folder)

    return found_in(made_once(tmp_path_factory, "crew", make))


@pytest.fixture(scope="session")
def kept(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kept between commands: an empty store, a cache, the optimizers that fail."""
    folder = tmp_path_factory.mktemp("kept")
    shutil.copy(migrated, folder)
    package = folder / "faults-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: faults\nVersion: 1\n")
    shutil.copy(Path(__file__).parents[1] / "support" / "faults.txt", package / "entry_points.txt")
    return folder


@pytest.fixture
def commands(kept: Path, tmp_path: Path) -> Iterator[Commands]:
    """Starts commands; what is left of them at the end of the test is a failure, and killed."""
    commands = Commands(kept, tmp_path)
    yield commands
    left = commands.end()
    assert left == [], left
