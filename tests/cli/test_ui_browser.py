"""The MLflow UI on our store, in a real browser: the page that compares the runs of one invocation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from shell import DATA, Cli

MISSING = [program for program in ("chromium", "chromedriver") if shutil.which(program) is None]


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)} (Debian: chromium, chromium-driver)")
def test_the_ui_compares_the_runs_of_one_invocation(
    cli: Cli, with_store: Path, tool: Callable[[str], ModuleType]
) -> None:
    screenshots = tool("screenshots")
    small = ("--layers", "2", "--hidden", "8", "--iterations", "3")
    store = with_store / "mlflow.db"
    answer = cli("run", *DATA, *small, "--optimizer", "adam", "--optimizer", "pdadmm", "--quiet")
    assert answer.code == 0, answer.err
    path, names = screenshots.compare_page(store)
    assert len(names) == 2
    with screenshots.ui(store) as address, screenshots.browser(1720, 2600) as window:
        window.go(address + path)
        text = window.wait_for("Comparing 2 Runs", *names, "acc_test_at_best_val", "optimizer_lr", seconds=90)
    assert "pdadmm sbm" in text
    assert "adam sbm" in text
