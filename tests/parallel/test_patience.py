"""Waiting that is no stall: for a measurement one has no part in, and for a parent that takes its time to log."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from command import PROBLEM, Commands
from crew import steps_of
from faults import LONELY_S

from pdadmm_bench.core.options import Output
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.training.in_workers import run_in_workers
from pdadmm_bench.training.run import Observer

pytestmark = pytest.mark.dist

TIMEOUT_S = 2
SHAPE = ("--rows", "40", "--features", "6", "--classes", "3", "--hidden", "8", "--layers", "4", "--threads", "1")


class Slow(Observer):
    """An observer that takes longer, here and there, than workers wait for an exchange."""

    def __init__(self, at: set[str]):
        self.at, self.steps = at, []

    def started(self, spec: Any, facts: Any) -> None:
        self._log("started")

    def stepped(self, step: Any) -> None:
        self.steps.append(dict(step))
        self._log(f"step {step['iteration']}")

    def finished(self, row: Any, history: Any) -> None:
        self._log("finished")

    def _log(self, event: str) -> None:
        if event in self.at:
            time.sleep(TIMEOUT_S + 0.5)


def test_a_slow_parent_is_neither_a_stall_nor_measured() -> None:
    common = {**PROBLEM, "gpus": 2, "threads": 1, "device": "cpu"}
    specs = [run_spec({**common, "seed": seed}) for seed in (0, 1)]
    observers = [Slow({"finished"}), Slow({"started", "step 2"})]
    waiting, rows = iter(observers), []
    run_in_workers(specs, Output(dist_timeout=TIMEOUT_S), lambda: [next(waiting)], rows.append)
    assert [(row["status"], row["status_reason"]) for row in rows] == [("ok", None)] * 2
    for observer, row in zip(observers, rows, strict=True):
        times = [step["iteration_seconds"] for step in observer.steps if step["iteration"] > 0]
        assert len(times) == PROBLEM["iterations"]
        assert max(times) < TIMEOUT_S / 2
        assert row["time_exposed_s"] < TIMEOUT_S / 2
    assert steps_of(observers[0].steps) != steps_of(observers[1].steps)


def test_scale_waits_for_a_measurement_longer_than_the_time_out(commands: Commands) -> None:
    options = ("--iterations", "1", "--repeats", "1", "--dist-timeout", str(TIMEOUT_S), "--device", "cpu")
    command = commands.start(
        "scale", *SHAPE, *options, "--workers", "1,2", "--optimizer", "lonely", "--json", "rows.json"
    )
    assert command.finish() == 0, command.said()
    single, double = command.rows()
    assert (single["dist_workers"], double["dist_workers"]) == (1, 2)
    assert single["time_iteration_median_s"] > LONELY_S > double["time_iteration_median_s"]
    assert double["speedup"] == single["time_iteration_median_s"] / double["time_iteration_median_s"]
    assert double["bytes_per_boundary"] == 2 * 40 * 8 * 4
    assert len(json.loads(double["dist_per_worker"])) == 2
    assert "strong scaling, measured on cpu" in command.said()
    assert command.left() == []
