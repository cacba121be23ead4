"""Workers, supervisors and commands that are killed and stopped in each phase of a run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
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

ON_ROWS = ("pdadmm", "adam")
"""Optimizers whose workers share the rows in some cases."""
OPTIMIZERS = ("pdadmm", "adam", "pdadmm-q", "sgd", "dladmm", "adagrad", "adadelta")
PHASES = ("start", "warm-start", "training", "evaluation", "end")
TIMEOUT_S = 5.0
SLACK_S = 5.0
"""What the program may take beyond the time-out, in seconds of an idle machine."""
TORCHRUN_S = 35.0
"""What torchrun takes to end a process that is stopped, and itself."""
PATIENCE_S = 240.0
PROBLEM = (
    "--dataset", "sbm[nodes=120,classes=3,features=6]", "--hops", "1", "--num-val", "20", "--num-test", "20",
    "--hidden", "6", "--threads", "1", "--device", "cpu", "--deterministic",
)  # fmt: skip


@dataclass
class Command:
    """A command in a session of its own."""

    folder: Path
    process: subprocess.Popen[bytes]

    def members(self) -> dict[int, tuple[str, bool]]:
        """The processes of the command that are alive: the rank of each, if it has one, and whether it trains.

        They are those of its session, and those whose environment names its folder: torchrun starts new sessions.
        """
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                state, _, _, session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
                if state in "ZX":
                    continue
                variables = (process / "environ").read_text(errors="replace").split("\0")
                if int(session) == self.process.pid or f"TORTURE={self.folder}" in variables:
                    ranks = [text.partition("=")[2] for text in variables if text.startswith("RANK=")]
                    trains = b"pdadmm_bench.core.child" in (process / "cmdline").read_bytes()
                    found[int(process.name)] = ranks[0] if ranks else "", trains
        return found

    def worker(self, rank: int, trains: bool = True) -> int | None:
        """The process of a worker, or of the supervisor that torchrun started; None where there is none."""
        return next((pid for pid, one in self.members().items() if one == (str(rank), trains)), None)

    def reaches(self, condition: Callable[[], Any]) -> bool:
        """Wait until ``condition`` holds; False if the command ends before, or never does."""
        end = time.monotonic() + PATIENCE_S * load()
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                return bool(condition())
            time.sleep(0.01)
        return True

    def finish(self) -> int | None:
        """Its exit code; None where it hangs, or where a process of it is left."""
        try:
            code = self.process.wait(PATIENCE_S * load())
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


def start(
    folder: Path, *arguments: str, store: bool = True, hooks: bool = False, program: tuple[str, ...] = (),
    limit_bytes: int | None = None, **variables: str,
) -> Command:  # fmt: skip
    """The program with ``arguments`` in ``folder``, where an empty store lies if ``store``.

    Args:
        program: what is put before ``-m pdadmm_bench`` in place of the interpreter.
        limit_bytes: the size that a file may have.
        variables: of the environment.
    """
    if store and not (folder / "mlflow.db").exists():
        shutil.copy(empty_store(), folder / "mlflow.db")
    here = Path(__file__).resolve().parent
    path = os.pathsep.join([*([str(here / "torture_hooks")] if hooks else []), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PDADMM_BENCH_CACHE": str(_cache()), "OMP_NUM_THREADS": "1"}
    for name in ("MLFLOW_TRACKING_URI", "PDADMM_BENCH_DATA"):
        environment.pop(name, None)
    environment |= ({"TORTURE": str(folder)} if hooks else {}) | variables

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs in the background is deaf to it
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    # What it prints goes through another process, for which the limit of files does not hold.
    with (folder / "said").open("a") as said:
        printing = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=said)
    with printing.stdin as output:  # type: ignore[union-attr]
        process = subprocess.Popen(
            [*(program or (sys.executable,)), "-m", "pdadmm_bench", *arguments], cwd=folder, env=environment,
            stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=prepare,
        )  # fmt: skip
    return Command(folder, process)


@cache
def empty_store() -> Path:
    """An empty store, made once."""
    path = Path(tempfile.mkdtemp()) / "mlflow.db"
    code = f"from mlflow import MlflowClient; MlflowClient('sqlite:///{path}').search_experiments()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return path


@cache
def _cache() -> Path:
    return Path(tempfile.mkdtemp())


def workers(seed: int) -> Iterator[Case]:
    """A worker, or the command, gets a signal in each phase: every optimizer, two to four workers, torchrun, rows."""
    chance = random.Random(f"workers {seed}")
    ways = [("kill", signal.SIGKILL), ("stop", signal.SIGSTOP)]
    ends = [("Ctrl-C", signal.SIGINT), ("SIGTERM", signal.SIGTERM), ("parent killed", signal.SIGKILL)]
    for optimizer in OPTIMIZERS:
        for phase in PHASES:
            for how, number in ways:
                count = chance.choice((2, 2, 3, 4))
                yield _case(optimizer, phase, how, number, count, Target(chance.randrange(count)))
            how, number = chance.choice(ends)
            yield _case(optimizer, phase, how, number, 2, None)
    for phase in PHASES:
        for how, number in ways:
            yield _case(chance.choice(OPTIMIZERS), phase, how, number, 2, Target(chance.randrange(2)), torchrun=True)
            rank = chance.randrange(2)
            yield _case(chance.choice(OPTIMIZERS), phase, how, number, 2, Target(rank, False), torchrun=True)
        yield _case(chance.choice(OPTIMIZERS), phase, "SIGTERM", signal.SIGTERM, 2, None, torchrun=True)
    for phase in PHASES:
        for how, number in ways:
            yield _case(chance.choice(ON_ROWS), phase, how, number, 2, Target(chance.randrange(2)), mesh="rows")


@dataclass(frozen=True)
class Target:
    """Who gets the signal: a worker, or with torchrun its supervisor."""

    rank: int
    trains: bool = True


def _case(
    optimizer: str, phase: str, how: str, number: int, count: int, target: Target | None, torchrun: bool = False,
    mesh: str = "layers",
) -> Case:  # fmt: skip
    arguments = [
        "run", *PROBLEM, "--layers", "4", "--iterations", "6", "--optimizer", optimizer,
        "--dist-timeout", f"{TIMEOUT_S:g}", "--json", "rows.json", "--quiet",
        *([] if torchrun else ["--workers", str(count), "--mesh", mesh]),
    ]  # fmt: skip
    launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}") if torchrun else ()

    def attempt(folder: Path) -> str | None:
        command = start(folder, *arguments, hooks=True, program=(sys.executable, *launcher))
        try:
            rank, trains = (target.rank, target.trains) if target else (0, True)
            marked = folder / f"{phase}-{rank}"
            if not command.reaches(lambda: marked.exists() and command.worker(rank, trains)):
                return f"the phase was not reached: {command.said()[-300:]}"
            os.kill(command.worker(rank, trains) or 0 if target else command.process.pid, number)
            began = time.monotonic()
            code = command.finish()
            if code is None:
                return f"it hangs, or left processes: {command.said()[-300:]}"
            return _judged(command, code, phase, how, target, torchrun, time.monotonic() - began)
        finally:
            command.end()

    who = "the command" if target is None else f"{'worker' if target.trains else 'supervisor'} {target.rank} of {count}"
    program = "torchrun … -m pdadmm_bench" if torchrun else "pdadmm-bench"
    name = f"{'torchrun: ' if torchrun else ''}{optimizer}, {phase}: {how}, {who}{', rows' if mesh == 'rows' else ''}"
    return Case("workers", name, attempt, " ".join([program, *arguments]))


def _judged(
    command: Command, code: int, phase: str, how: str, target: Target | None, torchrun: bool, seconds: float
) -> str | None:
    said = command.said()
    if ("Traceback" in said and not torchrun) or "not expected" in said:  # torchrun ends with a traceback of its own
        return f"a traceback: {said[-300:]}"
    if how == "parent killed":
        return None  # no process of it is left, and that is all that can be asked
    if seconds > (TIMEOUT_S + SLACK_S) * load() + (TORCHRUN_S if torchrun else 0):
        return f"it took {seconds:.0f} s to end"
    if target and not target.trains and target.rank == 0:
        return None if code == 1 else f"exit code {code}"  # who writes the row is lost itself
    rows = command.rows()
    if len(rows) != 1:
        return f"{len(rows)} rows: {said[-300:]}"
    (row,) = rows
    if target is None:
        wanted = ("interrupted", "ok") if phase == "end" else ("interrupted",)
        held = row["status"] in wanted and (torchrun or code in (130, 0))
        return None if held else f"{row['status']}, exit code {code}"
    if phase == "end" and row["status"] == "ok":
        return None  # it had its result already
    if row["status"] != "error" or f"worker {target.rank}: " not in row["status_reason"]:
        return f"{row['status']}: {row['status_reason']}"
    return None if code == 1 else f"exit code {code}"


def load() -> float:
    """How many times slower than an idle machine this one is at the moment."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
