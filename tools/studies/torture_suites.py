"""Suites that are killed at random moments, runs on a full disk, and the system clock set back during either."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from torture import Case
from torture_processes import PROBLEM, Command, empty_store, start

SUITE = """summary = "x"
[defaults]
dataset = "sbm[nodes=120,classes=3,features=6]"
hops = 1
num_val = 20
num_test = 20
hidden = 6
threads = 1
device = "cpu"
deterministic = true
iterations = 60
layers = 3
[[entry]]
optimizer = ["adam", "pdadmm", "sgd"]
seeds = 2
"""
SEEDS = 3
PLACES = {
    "rows": ["--json", "small/rows.json"], "store": ["--tracking-uri", "sqlite:///small/mlflow.db"],
    "checkpoint": ["--checkpoint", "small/c", "--checkpoint-every", "0.001"], "cache": ["--cache", "small/cache"],
    "report": ["--json", "rows.json"],
}  # fmt: skip
"""What is on the full disk, and the options that put it there."""


def suites(seed: int) -> Iterator[Case]:
    """A suite is killed, made twice at once, without its folder; runs on a full disk; the system clock is set back."""
    chance = random.Random(f"suites {seed}")
    for number in range(20):
        yield Case(
            "suites", f"killed {number}", _killed(chance.uniform(0.0, 20.0), fresh=number % 2 == 0), _SUITE_COMMAND
        )
    yield Case("suites", "two at once", _two_at_once, _SUITE_COMMAND)
    yield Case("suites", "folder deleted", _folder_deleted, _SUITE_COMMAND)
    for what in PLACES:
        yield Case("suites", f"full disk: {what}", _full_disk(what), " ".join(["pdadmm-bench run …", *PLACES[what]]))
        yield Case("suites", f"files of 6 kB: {what}", _small_files(what), " ".join(["ulimit -f 6;", *PLACES[what]]))
    yield Case("suites", "clock set back: one worker", _clock_set_back(), "pdadmm-bench run …")
    yield Case("suites", "clock set back: two workers", _clock_set_back("--gpus", "2"), "pdadmm-bench run --gpus 2 …")
    yield Case("suites", "clock set back: suite", _suite_with_clock_set_back, _SUITE_COMMAND)


_SUITE_COMMAND = "pdadmm-bench suite x.toml --quiet"


@cache
def _undisturbed() -> dict[Any, Any]:
    folder = Path(tempfile.mkdtemp())
    (folder / "x.toml").write_text(SUITE)
    command = start(folder, "suite", "x.toml", "--quiet")
    assert command.finish() == 0, command.said()
    return _numbers(command)


def _numbers(command: Command) -> dict[Any, Any]:
    rows = command.rows("results/x/rows.json")
    return {(row["optimizer_name"], row["seed"]): (row["status"], row["weights_sha256"]) for row in rows}


def _whole(folder: Path) -> str | None:
    """Start the suite until it is through; what is not as it would have been without disturbance."""
    for _ in range(3):
        command = start(folder, "suite", "x.toml", "--quiet", store=False)
        try:
            code = command.finish()
        finally:
            command.end()
        if code == 0:
            break
    if code != 0:
        return f"exit code {code}: {command.said()[-300:]}"
    if "Traceback" in command.said():
        return f"a traceback: {command.said()[-300:]}"
    return None if _numbers(command) == _undisturbed() else f"other numbers: {_numbers(command)}"


def _killed(seconds: float, fresh: bool) -> Callable[[Path], str | None]:
    def attempt(folder: Path) -> str | None:
        _undisturbed()
        (folder / "x.toml").write_text(SUITE)
        command = start(folder, "suite", "x.toml", "--quiet", store=not fresh)
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.process.wait(seconds)
        command.process.kill()
        left = command.finish()
        command.end()
        return "processes are left" if left is None else _whole(folder)

    return attempt


def _two_at_once(folder: Path) -> str | None:
    (folder / "x.toml").write_text(SUITE)
    shutil.copy(empty_store(), folder / "mlflow.db")
    pair = [start(folder, "suite", "x.toml", "--quiet") for _ in range(2)]
    codes = [command.finish() for command in pair]
    for command in pair:
        command.end()
    return _whole(folder) if codes == [0, 0] else f"exit codes {codes}: {pair[0].said()[-300:]}"


def _folder_deleted(folder: Path) -> str | None:
    (folder / "x.toml").write_text(SUITE)
    command = start(folder, "suite", "x.toml", "--quiet")
    command.reaches(lambda: list(folder.glob("results/x/runs/*.json")))
    shutil.rmtree(folder / "results", ignore_errors=True)
    code = command.finish()
    command.end()
    return _whole(folder) if code == 0 else f"exit code {code}: {command.said()[-300:]}"


def _run(folder: Path, *arguments: str, **options: Any) -> tuple[int | None, Command]:
    command = start(
        folder, "run", *PROBLEM, "--layers", "2", "--iterations", "300", "--quiet", "--optimizer", "adam",
        "--seeds", str(SEEDS), *arguments, **options,
    )  # fmt: skip
    return command.finish(), command


def _full_disk(what: str) -> Callable[[Path], str | None]:
    def attempt(folder: Path) -> str | None:
        small = folder / "small"
        small.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
        if subprocess.run(mount, capture_output=True).returncode:
            return "a small file system could not be mounted here"
        try:
            (small / "fill").write_bytes(bytes(48_000))
            return _without_space(folder, what)
        finally:
            subprocess.run(["umount", str(small)], capture_output=True)

    return attempt


def _small_files(what: str) -> Callable[[Path], str | None]:
    def attempt(folder: Path) -> str | None:
        (folder / "small").mkdir()
        return _without_space(folder, what, limit_bytes=6_000)

    return attempt


@cache
def _prepared() -> None:
    """The problem is in the cache of all cases."""
    folder = Path(tempfile.mkdtemp())
    code, command = _run(folder)
    assert code == 0, command.said()


def _without_space(folder: Path, what: str, **options: Any) -> str | None:
    """Three runs whose rows, store or the like do not fit: all are made, and each row is in a file or printed."""
    _prepared()
    limited = {} if what == "report" else options
    code, command = _run(folder, *PLACES[what], **limited)
    command.end()
    made = code
    if what == "report":
        command = start(folder, "report", "rows.json", "--format", "all", "--out", "small/report", **options)
        code = command.finish()
        command.end()
    said = command.said()
    if "Traceback" in said or "not expected" in said or code not in (0, 2) or (what != "cache" and made != 0):
        return f"exit code {code}: {said[-300:]}"
    files = [folder / "rows.json", folder / "small" / "rows.json"]
    everything = said + "".join(path.read_text() for path in files if path.exists())
    if what == "rows" and len(set(re.findall(r'"run_id": ?"(\w+)"', everything))) != SEEDS:
        return f"not every row is in the file or was printed: {said[-300:]}"
    return None


@cache
def _clock() -> Path:
    """The library that sets the clock of a process back, compiled once."""
    library = Path(tempfile.mkdtemp()) / "clock.so"
    source = Path(__file__).resolve().parent / "torture_hooks" / "clock.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def _with_clock(folder: Path) -> dict[str, str]:
    """Variables of a process whose clock goes back by an hour as soon as ``folder/back`` exists."""
    return {"LD_PRELOAD": str(_clock()), "TORTURE_BACK": str(folder / "back")}


def _clock_set_back(*arguments: str) -> Callable[[Path], str | None]:
    def attempt(folder: Path) -> str | None:
        command = start(
            folder, "run", *PROBLEM, "--layers", "2", "--iterations", "300", "--quiet", "--optimizer", "adam",
            "--seeds", str(SEEDS), "--json", "rows.json", *arguments, **_with_clock(folder),
        )  # fmt: skip
        command.reaches(lambda: command.rows())
        (folder / "back").touch()
        code = command.finish()
        command.end()
        rows, said = command.rows(), command.said()
        if code != 0 or "Traceback" in said or [row["status"] for row in rows] != ["ok"] * SEEDS:
            return f"exit code {code}: {said[-300:]}"
        negative = [
            name for row in rows for name, value in row.items() if name.startswith("time_") and (value or 0) < 0
        ]
        if negative or not all(row.get("mlflow_run_id") for row in rows):
            return f"negative: {negative}; MLflow: {[row.get('mlflow_run_id') for row in rows]}"
        last = datetime.fromisoformat(rows[-1]["created"])
        return None if last < datetime.now(UTC) - timedelta(minutes=30) else "the clock was not set back"

    return attempt


def _suite_with_clock_set_back(folder: Path) -> str | None:
    _undisturbed()
    (folder / "x.toml").write_text(SUITE)
    command = start(folder, "suite", "x.toml", "--quiet", **_with_clock(folder))
    command.reaches(lambda: list(folder.glob("results/x/runs/*.json")))
    (folder / "back").touch()
    code = command.finish()
    command.end()
    return _whole(folder) if code == 0 else f"exit code {code}: {command.said()[-300:]}"
