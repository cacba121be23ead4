"""The command as a process with a session of its own, and what is left of the session."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from waiting import PATIENCE_S

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.data.cache import CACHE_VARIABLE
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.training.run import run

PROBLEM = {
    "warm_start": "none",
    "dataset": "sbm[nodes=300,classes=3,features=12]",
    "hops": 1,
    "num_val": 50,
    "num_test": 50,
    "layers": 4,
    "hidden": 8,
    "iterations": 4,
}
DATA = tuple(part for name, value in PROBLEM.items() for part in (f"--{name.replace('_', '-')}", str(value)))
SAME = ("weights_sha256", "weights_initial_sha256", "acc_test_final", "dataset_sha256")
"""What does not depend on the number of workers."""


def row_of_one_worker(kept: Path, optimizer: str) -> dict[str, Any]:
    """What one worker, in this process, makes of the tiny problem."""
    spec = run_spec({**PROBLEM, "optimizer": optimizer, "device": "cpu", "threads": 1, "deterministic": True})
    problem = load_problem(spec.data, data_root=None, cache=kept / "cache", offline=True, report=lambda line: None)
    return run(spec, problem).row


@dataclass
class Command:
    """A command that was started."""

    folder: Path
    process: subprocess.Popen[str]

    def members(self) -> list[int]:
        """The processes of its session that are alive: itself and what it started, whatever their process group."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(session) == self.process.pid and state not in "ZX":
                found.append(int(stat.parent.name))
        return found

    def workers(self) -> list[int]:
        """Those of them that were started as workers."""
        return [pid for pid in self.members() if "pdadmm_bench.core.child" in _command_line(pid)]

    def worker(self, rank: int) -> int:
        """The process of the worker ``rank``."""
        return next(pid for pid in self.workers() if f"RANK={rank}" in _environment(pid))

    def wait_for(self, condition: Callable[[], Any], seconds: float = PATIENCE_S) -> float:
        """Seconds until ``condition`` holds."""
        start = time.monotonic()
        while not condition():
            assert time.monotonic() - start < seconds, self.said()
            time.sleep(0.1)  # to look through all processes takes milliseconds
        return time.monotonic() - start

    def finish(self) -> int:
        """Its exit code, when every process of it is gone."""
        code = self.process.wait(PATIENCE_S)
        self.wait_for(lambda: not self.members(), 5)
        return code

    def said(self) -> str:
        """What it printed so far, on stdout and stderr."""
        return (self.folder / "said").read_text()

    def left(self) -> list[str]:
        """What it left in the folder for temporary files, apart from torch's cache, which is meant to stay."""
        names = {path.name for path in (self.folder / "temporary").iterdir()}
        return sorted(name for name in names if not name.startswith("torchinductor_"))

    def rows(self) -> list[dict[str, Any]]:
        """The result rows."""
        return json.loads((self.folder / "rows.json").read_text())

    @cached_property
    def runs(self) -> dict[str, Any]:
        """The MLflow runs by name, of a command that has ended."""
        from mlflow import MlflowClient

        client = MlflowClient(self.store)
        (experiment,) = (found for found in client.search_experiments() if found.name == "pdadmm-bench")
        return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}

    def artifact(self, run: Any, name: str) -> str:
        """The text of an artifact of ``run``."""
        from mlflow import MlflowClient

        return Path(MlflowClient(self.store).download_artifacts(run.info.run_id, name)).read_text()

    @property
    def store(self) -> str:
        """Address of its MLflow store."""
        return f"sqlite:///{self.folder}/mlflow.db"


@dataclass
class Commands:
    """Starts commands, each in a folder of its own."""

    kept: Path
    base: Path
    started: list[Command] = field(default_factory=list)

    def run(self, *arguments: str, program: tuple[str, ...] = (), folder: Path | None = None, **env: str) -> Command:
        """``pdadmm-bench run`` on the tiny problem, with ``program`` in place of the interpreter."""
        common = ("--threads", "1", "--device", "cpu", "--deterministic", "--json", "rows.json")
        return self.start("run", *DATA, *common, *arguments, program=program, folder=folder, **env)

    def start(self, *arguments: str, program: tuple[str, ...] = (), folder: Path | None = None, **env: str) -> Command:
        """Any verb."""
        if folder is None:
            folder = self.base / str(len(self.started))
            (folder / "temporary").mkdir(parents=True)
            shutil.copy(self.kept / "mlflow.db", folder)
        path = os.pathsep.join([str(self.kept), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        places = {CACHE_VARIABLE: str(self.kept / "cache"), "TMPDIR": str(folder / "temporary")}
        environment = {**os.environ, "PYTHONPATH": path, **places, **env}
        environment.pop("MLFLOW_TRACKING_URI", None)
        with (folder / "said").open("a") as said:
            process = subprocess.Popen(
                [*(program or (sys.executable,)), "-m", "pdadmm_bench", *arguments],
                cwd=folder, env=environment, stdout=said, stderr=said, text=True, start_new_session=True,
            )  # fmt: skip
        self.started.append(Command(folder, process))
        return self.started[-1]

    def end(self) -> list[str]:
        """Kill what is left, and say what it was."""
        left = []
        for command in self.started:
            for pid in command.members():
                left.append(_command_line(pid))
                os.kill(pid, signal.SIGKILL)
            command.process.wait(10)
        return left


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _environment(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    except OSError:
        return []
