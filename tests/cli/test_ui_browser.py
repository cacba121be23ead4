"""The MLflow UI on our store, in a real browser: the views of the runs, and the page that compares some of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
import waiting
from shell import DATA, Cli

from pdadmm_bench.tracking import ui, view

MISSING = [program for program in ("chromium", "chromedriver") if shutil.which(program) is None]
SHARED = ["You're viewing a shared view"] if [int(part) for part in version("mlflow").split(".")[:2]] >= [3, 17] else []
"""What the page says of a view of ours; MLflow 3.10, the oldest that is allowed, says nothing."""


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)} (Debian: chromium, chromium-driver)")
def test_the_ui_compares_the_runs_of_one_invocation(
    cli: Cli, with_store: Path, tool: Callable[[str], ModuleType]
) -> None:
    screenshots = tool("screenshots")
    small = ("--layers", "2", "--hidden", "8", "--iterations", "3", "--seeds", "2")
    store = with_store / "mlflow.db"
    answer = cli("run", *DATA, *small, "--optimizer", "adam", "--optimizer", "pdadmm", "--quiet")
    assert answer.code == 0, answer.err
    path, names = screenshots.compare_page(store)
    assert len(names) == 4
    pages = ui.pages(f"sqlite:///{store}")
    assert pages is not None
    assert pages.charts is not None and pages.optimizers is not None
    with screenshots.ui(store) as address, screenshots.browser(2200, 2600) as window:
        window.go(address + pages.runs)
        columns = [name.partition("`")[2].rstrip("`") for name in view.COLUMNS]
        columns.remove("time_to_target_s")  # MLflow shows no column of a metric that no run has
        listed = window.wait_for(*SHARED, "4 matching runs", *names, *columns, seconds=90)
        window.go("about:blank")
        window.go(address + pages.charts)
        window.wait_for("Validation accuracy", "Accuracy and time", "Objective and residual", *names, seconds=90)
        drawn = "return document.querySelectorAll('.js-plotly-plot').length"
        waiting.wait_until(lambda: window.run(drawn) >= 4)
        window.go("about:blank")
        window.go(address + pages.optimizers)
        window.wait_for("4 matching runs", "Accuracy and time", "optimizer: adam", "optimizer: pdadmm", seconds=90)
        plots = "[...document.querySelectorAll('.js-plotly-plot')]"
        bars = f"return {plots}.map(plot => plot.querySelectorAll('.bars .point').length).filter(Boolean)"
        # In every chart of bars: a bar for each optimizer, the mean of its two seeds.
        waiting.wait_until(lambda: set(window.run(bars)) == {2})
        window.go(address + path)
        window.wait_for("Comparing 4 Runs", *names, "acc_test_at_best_val", seconds=90)
    assert "sbm 2×8 · 2 optimizers · 2 seeds" not in listed, "the parent is no training run"
    assert {f"{optimizer} sbm 2×8 seed {seed}" for optimizer in ("pdadmm", "adam") for seed in (0, 1)} == set(names)
