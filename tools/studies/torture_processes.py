"""Processes under torture: workers and commands that are killed and stopped, suites that are, and stores that fail."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torture import Case

OPTIMIZERS = ("pdadmm", "adam", "pdadmm-q", "sgd", "dladmm", "adagrad", "adadelta")
PHASES = ("start", "warm-start", "training", "evaluation", "end")
TIMEOUT_S = 5.0
SLACK_S = 5.0
"""What the program may take beyond the time-out, in seconds of an idle machine."""
PATIENCE_S = 240.0
PROBLEM = (
    "--dataset", "sbm[nodes=120,classes=3,features=6]", "--hops", "1", "--num-val", "20", "--num-test", "20",
    "--hidden", "6", "--threads", "1", "--device", "cpu", "--deterministic",
)  # fmt: skip
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


@dataclass
class Command:
    """A command in a session of its own."""

    folder: Path
    process: subprocess.Popen[bytes]

    def members(self) -> dict[int, str]:
        """The rank of each process of the session that is alive; empty for the others."""
        found = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError):
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state not in "ZX":
                    variables = (stat.parent / "environ").read_text(errors="replace").split("\0")
                    ranks = [text.partition("=")[2] for text in variables if text.startswith("RANK=")]
                    found[int(stat.parent.name)] = ranks[0] if ranks else ""
        return found

    def worker(self, rank: int) -> int:
        """The process of a worker."""
        return next(pid for pid, one in self.members().items() if one == str(rank))

    def reaches(self, condition: Callable[[], Any]) -> bool:
        """Wait until ``condition`` holds; False if the command ends before, or never does."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                return bool(condition())
            time.sleep(0.01)
        return True

    def finish(self) -> int | None:
        """Its exit code; None where it hangs, or where a process of it is left."""
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            return None
        end = time.monotonic() + 20
        while self.members() and time.monotonic() < end:
            time.sleep(0.05)
        return None if self.members() else code

    def end(self) -> None:
        """Kill what is left."""
        for pid in self.members():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def said(self) -> str:
        """What it printed."""
        return (self.folder / "said").read_text(errors="replace")

    def rows(self, file: str = "rows.json") -> list[dict[str, Any]]:
        """The rows that it wrote."""
        path = self.folder / file
        return json.loads(path.read_text()) if path.exists() else []


def start(folder: Path, *arguments: str, store: bool = True, hooks: bool = False) -> Command:
    """The program with ``arguments`` in ``folder``, where an empty store lies if ``store``."""
    if store and not (folder / "mlflow.db").exists():
        shutil.copy(_store(), folder / "mlflow.db")
    here = Path(__file__).resolve().parent
    path = os.pathsep.join([*([str(here / "torture_hooks")] if hooks else []), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PDADMM_BENCH_CACHE": str(_cache()), "OMP_NUM_THREADS": "1"}
    environment |= {"TORTURE": str(folder)} if hooks else {}
    for name in ("MLFLOW_TRACKING_URI", "PDADMM_BENCH_DATA"):
        environment.pop(name, None)
    with (folder / "said").open("a") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "pdadmm_bench", *arguments], cwd=folder, env=environment, stdout=said, stderr=said,
            stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_hears_ctrl_c,
        )  # fmt: skip
    return Command(folder, process)


def _hears_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@cache
def _store() -> Path:
    """An empty store, made once."""
    path = Path(tempfile.mkdtemp()) / "mlflow.db"
    code = f"from mlflow import MlflowClient; MlflowClient('sqlite:///{path}').search_experiments()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return path


@cache
def _cache() -> Path:
    return Path(tempfile.mkdtemp())


def workers(seed: int) -> Iterator[Case]:
    """A worker, or the command, gets a signal in each phase: every optimizer, two to four workers."""
    chance = random.Random(f"workers {seed}")
    ways = [("kill", signal.SIGKILL), ("stop", signal.SIGSTOP)]
    ends = [("Ctrl-C", signal.SIGINT), ("SIGTERM", signal.SIGTERM), ("parent killed", signal.SIGKILL)]
    for optimizer in OPTIMIZERS:
        for phase in PHASES:
            for how, number in ways:
                count = chance.choice((2, 2, 3, 4))
                yield _worker_case(optimizer, phase, how, number, count, chance.randrange(count))
            how, number = chance.choice(ends)
            yield _worker_case(optimizer, phase, how, number, 2, None)


def _worker_case(optimizer: str, phase: str, how: str, number: int, count: int, rank: int | None) -> Case:
    arguments = [
        "run", *PROBLEM, "--layers", "4", "--iterations", "6", "--gpus", str(count), "--optimizer", optimizer,
        "--dist-timeout", f"{TIMEOUT_S:g}", "--json", "rows.json", "--quiet",
    ]  # fmt: skip

    def attempt(folder: Path) -> str | None:
        command = start(folder, *arguments, hooks=True)
        try:
            marked = folder / f"{phase}-{rank if rank is not None else 0}"
            if not command.reaches(marked.exists):
                return f"the phase was not reached: {command.said()[-300:]}"
            os.kill(command.worker(rank) if rank is not None else command.process.pid, number)
            began = time.monotonic()
            code = command.finish()
            if code is None:
                return f"it hangs, or left processes: {command.said()[-300:]}"
            return _judged(command, code, phase, how, rank, time.monotonic() - began)
        finally:
            command.end()

    who = "the command" if rank is None else f"worker {rank} of {count}"
    return Case("workers", f"{optimizer}, {phase}: {how}, {who}", attempt, " ".join(["pdadmm-bench", *arguments]))


def _judged(command: Command, code: int, phase: str, how: str, rank: int | None, seconds: float) -> str | None:
    said = command.said()
    if "Traceback" in said or "not expected" in said:
        return f"a traceback: {said[-300:]}"
    if how == "parent killed":
        return None  # no process of it is left, and that is all that can be asked
    if seconds > (TIMEOUT_S + SLACK_S) * _load():
        return f"it took {seconds:.0f} s to end"
    rows = command.rows()
    if len(rows) != 1:
        return f"{len(rows)} rows: {said[-300:]}"
    (row,) = rows
    if rank is None:
        wanted = ("interrupted", "ok") if phase == "end" else ("interrupted",)
        return None if row["status"] in wanted and code in (130, 0) else f"{row['status']}, exit code {code}"
    if phase == "end" and row["status"] == "ok":
        return None  # it had its result already
    if row["status"] != "error" or f"worker {rank}: " not in row["status_reason"]:
        return f"{row['status']}: {row['status_reason']}"
    return None if code == 1 else f"exit code {code}"


def _load() -> float:
    """How many times slower than an idle machine this one is at the moment."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def suites(seed: int) -> Iterator[Case]:
    """A suite is killed at random moments, made by two processes at once, without its folder, on a full disk."""
    chance = random.Random(f"suites {seed}")
    for number in range(20):
        yield Case(
            "suites", f"killed {number}", _killed(chance.uniform(0.0, 20.0), fresh=number % 2 == 0), _SUITE_COMMAND
        )
    yield Case("suites", "two at once", _two_at_once, _SUITE_COMMAND)
    yield Case("suites", "folder deleted", _folder_deleted, _SUITE_COMMAND)
    for what in ("rows", "store", "checkpoint", "report", "cache"):
        yield Case("suites", f"full disk: {what}", _full_disk(what))


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
    shutil.copy(_store(), folder / "mlflow.db")
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


def _full_disk(what: str) -> Callable[[Path], str | None]:
    def attempt(folder: Path) -> str | None:
        small = folder / "small"
        small.mkdir()
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True
        ).returncode:
            return "a small file system could not be mounted here"
        try:
            (small / "fill").write_bytes(bytes(40_000))
            arguments = {
                "rows": ["--json", "small/rows.json"], "store": ["--tracking-uri", "sqlite:///small/mlflow.db"],
                "checkpoint": ["--checkpoint", "small/c", "--checkpoint-every", "0.001"],
                "cache": ["--cache", "small/cache"], "report": ["--json", "rows.json"],
            }[what]  # fmt: skip
            command = start(
                folder,
                "run",
                *PROBLEM,
                "--layers",
                "2",
                "--iterations",
                "300",
                "--quiet",
                "--optimizer",
                "adam",
                "--seeds",
                "3",
                *arguments,
            )
            code = command.finish()
            command.end()
            if what == "report":
                command = start(folder, "report", "rows.json", "--format", "all", "--out", "small/report")
                code = command.finish()
            said = command.said()
            if "Traceback" in said or "not expected" in said or code not in (0, 2):
                return f"exit code {code}: {said[-300:]}"
            return None
        finally:
            subprocess.run(["umount", str(small)], capture_output=True)

    return attempt


def tracking(seed: int) -> Iterator[Case]:
    """Runs on stores that fail in some way; each run is made, and none of its numbers is lost."""
    for name, prepare, hold in (
        ("no store yet", None, None), ("an empty file", lambda path: path.write_bytes(b""), None),
        ("no database", lambda path: path.write_bytes(b"something else"), None),
        ("cut", lambda path: path.write_bytes(_store().read_bytes()[:5000]), None),
        ("zeros in the middle", _zeros, None), ("half made", _half_made, None), ("of another program", _foreign, None),
        ("locked by a writer", lambda path: shutil.copy(_store(), path), _write_lock),
        ("lock file held", lambda path: shutil.copy(_store(), path), _file_lock),
        ("a folder", lambda path: path.mkdir(), None), ("read-only", _read_only, None),
        ("artifacts are a file", _artifacts, None),
    ):  # fmt: skip
        yield Case("tracking", name, _on_store(prepare, hold), "pdadmm-bench run …")
    for uri in ("http://127.0.0.1:9", "postgresql://127.0.0.1:9/x", "mysql://127.0.0.1:9/x"):
        yield Case("tracking", f"away: {uri}", _on_store(None, None, uri), f"pdadmm-bench run … --tracking-uri {uri}")
    for seconds in (2.0, 4.0, 5.0, 6.0, 8.0, 10.0):
        yield Case("tracking", f"killed while it makes the store, after {seconds:g} s", _killed_making(seconds))


def _on_store(prepare: Any, hold: Any, uri: str = "") -> Callable[[Path], str | None]:
    def attempt(folder: Path) -> str | None:
        if prepare:
            prepare(folder / "mlflow.db")
        with hold(folder / "mlflow.db") if hold else contextlib.nullcontext():
            return _run_on(folder, *(["--tracking-uri", uri] if uri else []))

    return attempt


def _run_on(folder: Path, *more: str) -> str | None:
    arguments = ["run", *PROBLEM, "--layers", "2", "--iterations", "5", "--optimizer", "adam", "--quiet", *more]
    command = start(folder, *arguments, "--json", "rows.json", store=False)
    try:
        code = command.finish()
    finally:
        command.end()
    said, rows = command.said(), command.rows()
    if code != 0 or "Traceback" in said:
        return f"exit code {code}: {said[-300:]}"
    if [row["status"] for row in rows] != ["ok"]:
        return f"rows: {[row['status'] for row in rows]}"
    kept = list(folder.glob("mlflow-unsent/*/*.json"))
    if not rows[0].get("mlflow_run_id") and not kept:
        return "the run is neither in MLflow nor kept for it"
    return None


def _killed_making(seconds: float) -> Callable[[Path], str | None]:
    def attempt(folder: Path) -> str | None:
        command = start(folder, "run", *PROBLEM, "--layers", "2", "--iterations", "5", "--quiet", store=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.process.wait(seconds)
        command.process.kill()
        command.finish()
        command.end()
        lost = _run_on(folder)
        return lost or ("the store cannot be used" if "cannot be used" in command.said() else None)

    return attempt


def _zeros(path: Path) -> None:
    content = bytearray(_store().read_bytes())
    content[4096:40960] = bytes(36864)
    path.write_bytes(content)


def _half_made(path: Path) -> None:
    shutil.copy(_store(), path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE _alembic_tmp_latest_metrics (key)")
        database.execute("UPDATE alembic_version SET version_num = '90e64c465722'")
        database.commit()


def _foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE users (name)")


def _read_only(path: Path) -> None:
    shutil.copy(_store(), path)
    path.chmod(0o400)


def _artifacts(path: Path) -> None:
    shutil.copy(_store(), path)
    path.with_name("mlruns").touch()


@contextlib.contextmanager
def _write_lock(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    from filelock import FileLock

    with FileLock(f"{path}.lock"):
        yield


CASES: dict[str, Callable[[int], Iterator[Case]]] = {"workers": workers, "suites": suites, "tracking": tracking}
