"""A worker that dies, raises, hangs or runs out of memory, and commands that are stopped from outside."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from command import PROBLEM, SAME, Command, Commands, row_of_one_worker

from pdadmm_bench.core.rows import first_values
from pdadmm_bench.core.spec import run_spec

pytestmark = pytest.mark.dist

TIMEOUT_S = 6
HEALTHY = "dladmm"
FAULTS = ("raises", "first-killed", "hangs", "oom", "unstartable")
ORDER = ("raises", HEALTHY, *FAULTS[1:])
SENTENCES = {
    "raises": "error: worker 1: RuntimeError: the roof is on fire",
    "first-killed": "error: worker 0: killed by SIGKILL",
    "hangs": "error: worker 1: does not answer",
    "oom": "oom: worker 1: RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory",
    "unstartable": "error: worker 1: RuntimeError: no start",
}


@pytest.fixture(scope="module")
def failed(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """One command whose runs fail one after the other, each in its own way, but for the second."""
    commands = Commands(kept, tmp_path_factory.mktemp("failed"))
    chosen = [part for name in ORDER for part in ("--optimizer", name)]
    command = commands.run("--gpus", "2", "--dist-timeout", str(TIMEOUT_S), "--quiet", *chosen)
    try:
        assert command.finish() == 1, command.said()
    finally:
        left = commands.end()
    assert left == []
    return command


def run_of(command: Command, optimizer: str) -> Any:
    """The MLflow run of an optimizer."""
    return next(run for run in command.runs.values() if run.data.tags.get("optimizer") == optimizer)


def test_every_run_has_its_row(failed: Command) -> None:
    rows = {row["optimizer_name"]: row for row in failed.rows()}
    assert list(rows) == list(ORDER)
    assert [rows[name]["status"] for name in FAULTS] == ["error", "error", "error", "oom", "error"]
    assert [rows[name]["iterations"] for name in FAULTS] == [2, 2, 2, 2, 0]
    assert all(rows[name]["acc_test_final"] is not None for name in FAULTS if name != "unstartable")
    assert all(row["dist_workers"] == 2 and row["seed"] == 0 for row in rows.values())
    known = first_values(run_spec({**PROBLEM, "optimizer": "unstartable", "gpus": 2, "device": "cpu", "threads": 1}))
    once = {"run_id", "created", "spec"}
    assert {name: rows["unstartable"][name] for name in known.keys() - once} == {
        name: value for name, value in known.items() if name not in once
    }


def test_the_runs_after_a_failure_go_on_in_fresh_workers(failed: Command, kept: Path) -> None:
    row, expected = failed.rows()[1], row_of_one_worker(kept, HEALTHY)
    assert {name: row[name] for name in SAME} == {name: expected[name] for name in SAME}
    assert (row["status"], row["iterations"]) == ("ok", PROBLEM["iterations"])
    assert run_of(failed, HEALTHY).info.status == "FINISHED"


@pytest.mark.parametrize("name", FAULTS)
def test_rank_and_error_are_named_once(failed: Command, name: str) -> None:
    assert failed.said().count(SENTENCES[name]) == 1


def test_nothing_else_is_said(failed: Command) -> None:
    assert "Traceback" not in failed.said()
    assert not re.search(r"^[WE]\d{4} ", failed.said(), re.MULTILINE)
    about = [line for line in failed.said().splitlines() if not line.startswith(("warning:", "✗"))]
    assert not [line for line in about if "worker" in line], about


@pytest.mark.parametrize("name", FAULTS)
def test_the_tracked_run_failed_and_has_the_log_of_the_worker(failed: Command, name: str) -> None:
    found = run_of(failed, name)
    assert found.info.status == "FAILED"
    assert found.data.tags["status"] == ("oom" if name == "oom" else "error")
    rank = 0 if name == "first-killed" else 1
    log = failed.artifact(found, f"worker-{rank}.log")
    if rank == 1 and name != "unstartable":
        assert "worker 1 was here" in log
    if name in ("raises", "oom", "unstartable"):
        assert "Traceback" in log
    if name == "raises":
        assert "second line" in log


def test_no_temporary_file_is_left(failed: Command) -> None:
    assert failed.left() == []


def test_a_hanging_worker_is_ended_soon_after_the_time_out(failed: Command) -> None:
    info = run_of(failed, "hangs").info
    assert TIMEOUT_S <= (info.end_time - info.start_time) / 1000 < TIMEOUT_S + 12


def test_memory_that_ran_out_is_told_with_what_was_planned(failed: Command) -> None:
    (reason,) = (row["status_reason"] for row in failed.rows() if row["status"] == "oom")
    planned, resident = re.search(r"\(worker 1: ([\d,]+) bytes of state planned, ([\d,]+) resident\)", reason).groups()
    assert 0 < int(planned.replace(",", "")) < int(resident.replace(",", ""))


@pytest.mark.parametrize(("mesh", "rank"), [("layers", 0), ("rows", 1)])
def test_a_worker_that_is_stopped_during_the_warm_start_is_named_soon(mesh: str, rank: int, commands: Commands) -> None:
    """Over layers the other one waits for it as long as it takes; over rows both train the warm start."""
    options = ("--gpus", "2", "--dist-timeout", "3", "--quiet", "--optimizer", "slow", "--warm-start", "2:5000")
    command = commands.run(*options, "--mesh", mesh)
    command.wait_for((command.folder / f"training-{rank}").exists)
    os.kill(command.worker(rank), signal.SIGSTOP)
    assert command.finish() == 1, command.said()
    assert f"error: worker {rank}: does not answer: no sign of life for 3 s" in command.said()
    (row,) = command.rows()
    assert (row["status"], row["iterations"]) == ("error", 0)
    assert {run.info.status for run in command.runs.values()} == {"FAILED"}


def test_a_worker_that_shares_rows_and_fails_is_named_soon(commands: Commands) -> None:
    """The others wait for it in a sum. Killed, and stopped so that not even SIGTERM ends it."""
    timeout_s, faults = 3, ("first-killed", "hangs")
    chosen = [part for name in faults for part in ("--optimizer", name)]
    mesh = ("--workers", "2", "--mesh", "rows", "--dist-timeout", str(timeout_s), "--quiet")
    command = commands.run(*mesh, *chosen)
    assert command.finish() == 1, command.said()
    assert [command.said().count(SENTENCES[name]) for name in faults] == [1, 1]
    assert "Traceback" not in command.said()
    rows = {row["optimizer_name"]: row for row in command.rows()}
    assert {(row["status"], row["iterations"]) for row in rows.values()} == {("error", 2)}
    assert set(rows) == set(faults)
    info = run_of(command, "hangs").info
    assert timeout_s <= (info.end_time - info.start_time) / 1000 < timeout_s + 12
    assert command.left() == []


def test_stopped_from_outside(commands: Commands) -> None:
    """At the same time: Ctrl-C while workers train, Ctrl-C while they start, and an end of the command itself."""
    soon = 20  # seconds; the training would take hours, and a slow machine has to start some processes
    long = ("--gpus", "2", "--iterations", "5000", "--quiet", "--optimizer")
    training, orphaned = commands.run(*long, "slow"), commands.run(*long, "stuck")
    training.wait_for((training.folder / "training-0").exists)
    os.killpg(training.process.pid, signal.SIGINT)
    assert training.wait_for(lambda: not training.workers()) < soon

    orphaned.wait_for((orphaned.folder / "evaluating").exists)
    orphaned.process.kill()
    assert orphaned.wait_for(lambda: not orphaned.workers()) < soon
    assert orphaned.left() == []

    starting = commands.run(*long, "slow")
    starting.wait_for(lambda: len(starting.workers()) == 2)
    os.killpg(starting.process.pid, signal.SIGINT)
    assert starting.wait_for(lambda: not starting.workers()) < soon

    for command in (training, starting):
        assert command.finish() == 130, command.said()
        assert "Traceback" not in command.said()
        assert command.said().count("interrupted: stopped by the user") == 1
        (row,) = command.rows()
        assert row["status"] == "interrupted"
        assert {run.info.status for run in command.runs.values()} == {"KILLED"}
        assert len(command.runs) == 2
        assert command.left() == []
    assert training.rows()[0]["iterations"] > 0
